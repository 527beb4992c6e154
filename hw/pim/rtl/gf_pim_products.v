// gf_pim_products: products of two accesses, lane by lane, for EWMUL16.
//
//   products[i] = a[i] b[i]   BF16, rounded to nearest even (through FP32, which holds a product
//                             exactly unless it underflows)
//
// Combinational. Lane i is in bits 16 i + 15 to 16 i.

`default_nettype none

module gf_pim_products #(
  parameter AccessBits = 256
) (
  input  wire                  clk,
  input  wire [AccessBits-1:0] a,
  input  wire [AccessBits-1:0] b,
  output wire [AccessBits-1:0] products
);

  localparam Lanes = AccessBits / 16;

  genvar lane;
  generate
    for (lane = 0; lane < Lanes; lane = lane + 1) begin : gen_lane
      wire [31:0] exact;
      gf_pim_bf16_multiply #(.STAGES(0)) multiply (
        .clk(clk), .a(a[16*lane +: 16]), .b(b[16*lane +: 16]), .y(exact)
      );
      gf_pim_fp32_to_bf16 round (.a(exact), .y(products[16*lane +: 16]));
    end
  endgenerate

endmodule

`default_nettype wire
