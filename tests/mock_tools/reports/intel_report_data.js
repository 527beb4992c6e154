var loopsJSON={"columns":["","Pipelined","II","Speculated iterations","Details"],"children":[]};var mavJSON={"nodes":[],"links":[]};
var areaJSON={"columns":["","ALUTs","FFs","RAMs","DSPs","MLABs","Details"],"debug_enabled":"true","type":"module","total_percent":[6.1,3.4,3.1,2.9,8.4],"total":[28911,58120,79,127,44],"name":"System","max_resources":[854400,1708800,2713,1518,21360],"partitions":[],"children":[]};
var fileJSON=[{"index":0,"path":"firmware/tiny.cpp","name":"tiny.cpp","content":"void tiny() {}"}];
