// gf_pim_norm: LayerNorm and RMSNorm of a vector; BF16 in and out, FP32 inside.
//
//   phase 0  mean = total(x) / width
//   phase 1  scale = 1 / sqrt(total(d d) / width + epsilon),  d = x - mean
//   phase 2  ((d scale) gain) + bias, rounded to BF16
//
// RMSNorm (root_mean) begins with phase 1; its mean is zero, and it has no bias. Division by the
// width is a multiplication with inverse_width, FP32(1 / width). The vector is sent in each phase,
// a word of LANES numbers a clock at most; in phase 2 each word is followed by its gain and, for
// LayerNorm, its bias, in the next clocks: in_operand 0, 1 and 2. keep marks the lanes that have a
// number, first and last the vector's words. ready says that a phase has ended.
//
// Clocks from last to ready: 2 log2(LANES) + 4; 2 log2(LANES) + 35; 8, or 9 for RMSNorm. In phase
// 2 a word is out 10 clocks after it came.

`default_nettype none

module gf_pim_norm #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                root_mean,
  input  wire [31:0]         inverse_width,
  input  wire [31:0]         epsilon,
  input  wire [1:0]          phase,
  input  wire                in_valid,
  input  wire [1:0]          in_operand,
  input  wire                in_first,
  input  wire                in_last,
  input  wire [LANES-1:0]    in_keep,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire [16*LANES-1:0] out
);

  localparam SquareLatency = 2 + 3;
  localparam SumLatency = 2 * $clog2(LANES) + 1;
  localparam MeanLatency = SumLatency + 3;
  localparam ScaleLatency = SquareLatency + MeanLatency + 2 + 24;
  localparam ResultLatency = 2 + 3 + 3 + 2;
  localparam [15:0] MinusZero = 16'h8000;  // added to a number it changes no bit

  reg [31:0] mean;
  wire [31:0] minus_mean = root_mean ? {MinusZero, 16'd0} : {!mean[31], mean[30:0]};
  wire [31:0] sum;
  wire [31:0] sum_over_width;
  wire [31:0] widened;
  wire [31:0] scale;
  wire [32*LANES-1:0] terms;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [31:0] number = {in[16*lane +: 16], 16'd0};
      wire [31:0] apart;
      wire [31:0] square;
      wire [31:0] scaled;
      wire [31:0] gained;
      wire [31:0] result;
      wire [15:0] gain;
      wire [15:0] bias;
      wire keep_square;
      gf_pim_fp32_add #(.STAGES(2)) subtract (
        .clk(clk), .a(number), .b(minus_mean), .y(apart)
      );
      gf_pim_fp32_multiply #(.STAGES(3)) square_it (
        .clk(clk), .a(apart), .b(apart), .y(square)
      );
      gf_delay #(.Width(1), .Depth(SquareLatency)) keep_delay (
        .clk(clk), .in(in_keep[lane]), .out(keep_square)
      );
      assign terms[32*lane +: 32] = (phase == 2'd0) ? (in_keep[lane] ? number : 32'd0)
                                                    : (keep_square ? square : 32'd0);

      // The gain comes a clock after its number and is needed 5 after it, the bias 2 and 8.
      gf_pim_fp32_multiply #(.STAGES(3)) times_scale (
        .clk(clk), .a(apart), .b(scale), .y(scaled)
      );
      gf_delay #(.Width(16), .Depth(4)) gain_delay (
        .clk(clk), .in(in[16*lane +: 16]), .out(gain)
      );
      gf_pim_fp32_multiply #(.STAGES(3)) times_gain (
        .clk(clk), .a(scaled), .b({gain, 16'd0}), .y(gained)
      );
      gf_delay #(.Width(16), .Depth(6)) bias_delay (
        .clk(clk), .in(in[16*lane +: 16]), .out(bias)
      );
      gf_pim_fp32_add #(.STAGES(2)) plus_bias (
        .clk(clk), .a(gained), .b({root_mean ? MinusZero : bias, 16'd0}), .y(result)
      );
      gf_pim_fp32_to_bf16 to_bf16 (.a(result), .y(out[16*lane +: 16]));
    end
  endgenerate

  wire add_number = in_valid && phase == 2'd0;
  wire add_square;
  wire square_first;
  gf_valid_delay #(.Depth(SquareLatency)) add_delay (
    .clk(clk), .rst(rst), .in(in_valid && phase == 2'd1), .out(add_square)
  );
  gf_delay #(.Width(1), .Depth(SquareLatency)) first_delay (
    .clk(clk), .in(in_first), .out(square_first)
  );
  gf_pim_total #(.LANES(LANES)) total (
    .clk(clk), .rst(rst), .add(add_number || add_square),
    .first((phase == 2'd0) ? in_first : square_first), .in(terms), .sum(sum)
  );
  gf_pim_fp32_multiply #(.STAGES(3)) over_width (
    .clk(clk), .a(sum), .b(inverse_width), .y(sum_over_width)
  );
  gf_pim_fp32_add #(.STAGES(2)) plus_epsilon (
    .clk(clk), .a(sum_over_width), .b(epsilon), .y(widened)
  );
  gf_pim_rsqrt root (.clk(clk), .x(widened), .y(scale));

  wire ready_0;
  wire ready_1;
  wire ready_2;
  wire ready_2_root;
  wire last = in_valid && in_last;
  gf_valid_delay #(.Depth(MeanLatency)) ready_delay_0 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd0), .out(ready_0)
  );
  gf_valid_delay #(.Depth(ScaleLatency)) ready_delay_1 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd1), .out(ready_1)
  );
  gf_valid_delay #(.Depth(ResultLatency - 2)) ready_delay_2 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd2 && !root_mean), .out(ready_2)
  );
  gf_valid_delay #(.Depth(ResultLatency - 1)) ready_delay_2_root (
    .clk(clk), .rst(rst), .in(last && phase == 2'd2 && root_mean), .out(ready_2_root)
  );
  gf_valid_delay #(.Depth(ResultLatency)) out_delay (
    .clk(clk), .rst(rst), .in(in_valid && phase == 2'd2 && in_operand == 2'd0), .out(out_valid)
  );
  assign ready = ready_0 || ready_1 || ready_2 || ready_2_root;

  always @(posedge clk) begin
    if (ready_0) begin
      mean <= sum_over_width;
    end
  end

endmodule

`default_nettype wire
