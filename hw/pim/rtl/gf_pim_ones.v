// gf_pim_ones: how many bits are 1.
//
//   number = in[0] + in[1] + ...   added in a tree of neighbours
//
// WIDTH  a power of two. Combinational.

`default_nettype none

module gf_pim_ones #(
  parameter WIDTH = 16,
  parameter NumberBits = $clog2(WIDTH) + 1
) (
  input  wire [WIDTH-1:0]      in,
  output wire [NumberBits-1:0] number
);

  generate
    if (WIDTH == 1) begin : gen_bit
      assign number = in;
    end else begin : gen_halves
      wire [NumberBits-2:0] lower;
      wire [NumberBits-2:0] upper;
      gf_pim_ones #(.WIDTH(WIDTH / 2)) lower_half (.in(in[WIDTH/2-1:0]), .number(lower));
      gf_pim_ones #(.WIDTH(WIDTH / 2)) upper_half (.in(in[WIDTH-1:WIDTH/2]), .number(upper));
      assign number = {1'b0, lower} + {1'b0, upper};
    end
  endgenerate

endmodule

`default_nettype wire
