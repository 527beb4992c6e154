// gf_beat_to_bytes: sends a beat byte by byte, the low bits first.
//
//   beat_valid      -> a beat comes; only while valid is low
//   valid && ready  -> a byte is taken

`default_nettype none

module gf_beat_to_bytes #(
  parameter Bytes = 4
) (
  input  wire               clk,
  input  wire               rst,
  input  wire [8*Bytes-1:0] beat,
  input  wire               beat_valid,
  output wire [7:0]         data,
  output wire               valid,
  input  wire               ready
);

  localparam CountBits = $clog2(Bytes + 1);
  localparam [31:0] All = Bytes;

  reg [8*Bytes-1:0] rest;
  reg [CountBits-1:0] left;

  assign data = rest[7:0];
  assign valid = left != {CountBits{1'b0}};

  always @(posedge clk) begin
    if (!valid) begin
      rest <= beat;
    end else if (ready) begin
      rest <= rest >> 8;
    end
    if (rst) begin
      left <= {CountBits{1'b0}};
    end else if (!valid) begin
      left <= beat_valid ? All[CountBits-1:0] : {CountBits{1'b0}};
    end else if (ready) begin
      left <= left - 1'b1;
    end
  end

endmodule

`default_nettype wire
