// gf_pim_softmax: exp(x - m) / sum, m the vector's maximum; BF16 in and out, FP32 inside.
//
//   phase 0  m: gf_pim_maximum
//   phase 1  sum of exp(x - m): gf_pim_exp in each lane, gf_pim_total; then 1 / sum
//   phase 2  exp(x - m) (1 / sum), rounded to BF16
//
// With share there is no phase 2, and phase 1 gives exp(x - m), rounded to BF16, and behind the
// vector a word of what gf_pim_merge needs: m in lane 0, sum's low and high half in lanes 1 and 2.
//
// The vector is sent in each phase, a word of LANES numbers a clock at most; exp is computed twice,
// so that no FP32 number has to be kept. keep marks the lanes that have a number, first and last
// the vector's words. ready says that a phase has ended: the next one may begin.
//
// LANES  a power of two, at least 4
//
// Clocks from last to ready: 2; 53 + 2 log2(LANES), with share 30 + 2 log2(LANES); 32. A word of
// phase 2 is out after 32 clocks, one of phase 1 after 29.

`default_nettype none

module gf_pim_softmax #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                share,
  input  wire [1:0]          phase,
  input  wire                in_valid,
  input  wire                in_first,
  input  wire                in_last,
  input  wire [LANES-1:0]    in_keep,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire [16*LANES-1:0] out
);

  localparam ExpLatency = 2 + 27;
  localparam SumLatency = 2 * $clog2(LANES) + 1;
  localparam DivideLatency = 23;

  wire [15:0] largest;
  wire [23:0] unused_place;
  gf_pim_maximum #(.LANES(LANES)) maximum (
    .clk(clk), .take(in_valid && phase == 2'd0), .first(in_first), .keep(in_keep), .in(in),
    .largest(largest), .place(unused_place)
  );
  wire [31:0] minus_largest = {!largest[15], largest[14:0], 16'd0};

  wire [32*LANES-1:0] exps;
  wire [16*LANES-1:0] numbers;
  wire [31:0] sum;
  wire [31:0] scale;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [31:0] below;
      wire [31:0] power;
      wire [31:0] weight;
      wire keep;
      gf_pim_fp32_add #(.STAGES(2)) subtract (
        .clk(clk), .a({in[16*lane +: 16], 16'd0}), .b(minus_largest), .y(below)
      );
      gf_pim_exp exp (.clk(clk), .x(below), .y(power));
      gf_delay #(.Width(1), .Depth(ExpLatency)) keep_delay (
        .clk(clk), .in(in_keep[lane]), .out(keep)
      );
      assign exps[32*lane +: 32] = keep ? power : 32'd0;
      gf_pim_fp32_multiply #(.STAGES(3)) times_scale (
        .clk(clk), .a(power), .b(scale), .y(weight)
      );
      gf_pim_fp32_to_bf16 to_bf16 (
        .a(share ? power : weight), .y(numbers[16*lane +: 16])
      );
    end
  endgenerate

  wire add;
  wire add_first;
  gf_valid_delay #(.Depth(ExpLatency)) add_delay (
    .clk(clk), .rst(rst), .in(in_valid && phase == 2'd1), .out(add)
  );
  gf_delay #(.Width(1), .Depth(ExpLatency)) first_delay (
    .clk(clk), .in(in_first), .out(add_first)
  );
  gf_pim_total #(.LANES(LANES)) total (
    .clk(clk), .rst(rst), .add(add), .first(add_first), .in(exps), .sum(sum)
  );
  gf_pim_reciprocal divide (.clk(clk), .x(sum), .y(scale));

  wire ready_0;
  wire ready_1;
  wire ready_2;
  wire sum_ready;
  wire weight_valid;
  wire last = in_valid && in_last;
  gf_valid_delay #(.Depth(2)) ready_delay_0 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd0), .out(ready_0)
  );
  gf_valid_delay #(.Depth(ExpLatency + SumLatency)) sum_delay (
    .clk(clk), .rst(rst), .in(last && phase == 2'd1), .out(sum_ready)
  );
  gf_valid_delay #(.Depth(DivideLatency)) ready_delay_1 (
    .clk(clk), .rst(rst), .in(sum_ready && !share), .out(ready_1)
  );
  gf_valid_delay #(.Depth(ExpLatency + 3)) ready_delay_2 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd2), .out(ready_2)
  );
  gf_valid_delay #(.Depth(ExpLatency + 3)) out_delay (
    .clk(clk), .rst(rst), .in(in_valid && phase == 2'd2), .out(weight_valid)
  );

  wire told = share && sum_ready;
  assign ready = ready_0 || ready_1 || ready_2 || told;
  assign out_valid = weight_valid || told || (share && add);
  assign out = told ? {{(16*LANES-48){1'b0}}, sum, largest} : numbers;

endmodule

`default_nettype wire
