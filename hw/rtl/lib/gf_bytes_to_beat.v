// gf_bytes_to_beat: gathers bytes into a beat, the first byte in the low bits.
//
//   complete  for one clock when the last byte of a beat is in
//
// A beat stays until the first byte of the next one comes.

`default_nettype none

module gf_bytes_to_beat #(
  parameter Bytes = 4
) (
  input  wire               clk,
  input  wire               rst,
  input  wire [7:0]         data,
  input  wire               valid,
  output reg  [8*Bytes-1:0] beat,
  output reg                complete
);

  localparam CountBits = (Bytes > 1) ? $clog2(Bytes) : 1;
  localparam [31:0] Last = Bytes - 1;

  reg [CountBits-1:0] count;
  wire last = count == Last[CountBits-1:0];
  wire [8*Bytes+7:0] longer = {data, beat};
  wire unused = &{1'b0, longer[7:0]};  // the oldest byte leaves

  always @(posedge clk) begin
    if (valid) begin
      beat <= longer[8*Bytes+7:8];
    end
    if (rst) begin
      count <= {CountBits{1'b0}};
      complete <= 1'b0;
    end else begin
      complete <= valid && last;
      if (valid) begin
        count <= last ? {CountBits{1'b0}} : count + 1'b1;
      end
    end
  end

endmodule

`default_nettype wire
