// gf_pim_merge: attention over shares of the keys put together; BF16 in and out, FP32 inside.
//
//   phase 0  M = the largest m of all shares
//   phase 1  factor = exp(m - M) of each share;  scale = 1 / (+0 + l 0 factor 0 + l 1 factor 1 ...)
//   phase 2  (+0 + o 0 factor 0 + o 1 factor 1 + ...) scale, rounded to BF16
//
// Sums are those of the shares in their order. In phases 0 and 1 a word of each share is sent, one
// a clock at most: lane 0 is m, a BF16 number, lanes 1 and 2 are the low and the high half of l, an
// FP32 number. In phase 2 LANES numbers of o of each share are sent, then the next LANES of each.
// in_operand counts the shares, in_last marks a phase's last word. ready says that a phase has
// ended. The sums have an addition without a register inside.
//
// LANES   at least 4
// Shares  a power of two, from 2 to 256
//
// Clocks from in_last to ready: 2; 56; 7. A word of phase 2 is out 7 clocks after its last share's.

`default_nettype none

module gf_pim_merge #(
  parameter LANES = 16,
  parameter Shares = 64
) (
  input  wire                clk,
  input  wire                rst,
  input  wire [1:0]          phase,
  input  wire                in_valid,
  input  wire [7:0]          in_operand,
  input  wire                in_last_operand,
  input  wire                in_last,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire [16*LANES-1:0] out
);

  localparam ShareBits = $clog2(Shares);
  localparam MaximumLatency = 2;
  localparam FactorLatency = 2 + 27;
  localparam SumLatency = FactorLatency + 3 + 1;
  localparam ScaleLatency = SumLatency + 23;
  localparam ResultLatency = 3 + 1 + 3;

  wire first = in_operand == 8'd0;
  wire last = in_valid && in_last;

  // Each share's factor, and the sum of l.
  wire [15:0] largest;
  wire [23:0] unused_place;
  wire [31:0] below;
  wire [31:0] factor;
  wire [31:0] l;
  wire [31:0] l_product;
  wire [31:0] l_next;
  reg [31:0] l_sum;
  wire [31:0] scale;
  reg [31:0] factors [0:Shares-1];
  wire factor_valid;
  wire [ShareBits-1:0] factor_share;
  wire l_valid;
  wire l_first;

  gf_pim_maximum #(.LANES(2)) maximum (
    .clk(clk), .take(in_valid && phase == 2'd0), .first(first), .keep(2'b01), .in(in[31:0]),
    .largest(largest), .place(unused_place)
  );
  gf_pim_fp32_add #(.STAGES(2)) subtract (
    .clk(clk), .a({in[15:0], 16'd0}), .b({!largest[15], largest[14:0], 16'd0}), .y(below)
  );
  gf_pim_exp exp (.clk(clk), .x(below), .y(factor));
  gf_delay #(.Width(32), .Depth(FactorLatency)) l_delay (.clk(clk), .in(in[47:16]), .out(l));
  gf_pim_fp32_multiply #(.STAGES(3)) times_factor (
    .clk(clk), .a(l), .b(factor), .y(l_product)
  );
  gf_pim_fp32_add #(.STAGES(0)) l_add (
    .clk(clk), .a(l_first ? 32'd0 : l_sum), .b(l_product), .y(l_next)
  );
  gf_pim_reciprocal divide (.clk(clk), .x(l_sum), .y(scale));

  gf_valid_delay #(.Depth(FactorLatency)) factor_delay (
    .clk(clk), .rst(rst), .in(in_valid && phase == 2'd1), .out(factor_valid)
  );
  gf_delay #(.Width(ShareBits), .Depth(FactorLatency)) share_delay (
    .clk(clk), .in(in_operand[ShareBits-1:0]), .out(factor_share)
  );
  gf_valid_delay #(.Depth(3)) l_valid_delay (
    .clk(clk), .rst(rst), .in(factor_valid), .out(l_valid)
  );
  gf_delay #(.Width(1), .Depth(3)) l_first_delay (
    .clk(clk), .in(factor_share == {ShareBits{1'b0}}), .out(l_first)
  );

  always @(posedge clk) begin
    if (factor_valid) begin
      factors[factor_share] <= factor;
    end
    if (l_valid) begin
      l_sum <= l_next;
    end
  end

  // The sum of o, in each lane.
  wire [31:0] o_factor = factors[in_operand[ShareBits-1:0]];
  wire o_valid;
  wire o_first;

  gf_valid_delay #(.Depth(3)) o_valid_delay (
    .clk(clk), .rst(rst), .in(in_valid && phase == 2'd2), .out(o_valid)
  );
  gf_delay #(.Width(1), .Depth(3)) o_first_delay (.clk(clk), .in(first), .out(o_first));

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [31:0] product;
      wire [31:0] next_sum;
      wire [31:0] result;
      reg [31:0] sum;
      gf_pim_fp32_multiply #(.STAGES(3)) times_factor (
        .clk(clk), .a({in[16*lane +: 16], 16'd0}), .b(o_factor), .y(product)
      );
      gf_pim_fp32_add #(.STAGES(0)) add (
        .clk(clk), .a(o_first ? 32'd0 : sum), .b(product), .y(next_sum)
      );
      always @(posedge clk) begin
        if (o_valid) begin
          sum <= next_sum;
        end
      end
      gf_pim_fp32_multiply #(.STAGES(3)) times_scale (
        .clk(clk), .a(sum), .b(scale), .y(result)
      );
      gf_pim_fp32_to_bf16 to_bf16 (.a(result), .y(out[16*lane +: 16]));
    end
  endgenerate

  wire ready_0;
  wire ready_1;
  wire ready_2;
  gf_valid_delay #(.Depth(MaximumLatency)) ready_delay_0 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd0), .out(ready_0)
  );
  gf_valid_delay #(.Depth(ScaleLatency)) ready_delay_1 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd1), .out(ready_1)
  );
  gf_valid_delay #(.Depth(ResultLatency)) ready_delay_2 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd2), .out(ready_2)
  );
  gf_valid_delay #(.Depth(ResultLatency)) out_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_last_operand && phase == 2'd2), .out(out_valid)
  );
  assign ready = ready_0 || ready_1 || ready_2;

endmodule

`default_nettype wire
