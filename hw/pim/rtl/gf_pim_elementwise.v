// gf_pim_elementwise: sums, products, weighted and rescaled sums and ReLU of BF16 numbers, LANES at
// once.
//
//   add         operand 0 + operand 1 + ..., in this order in FP32
//   multiply    operand 0 x operand 1
//   accumulate  +0 + weight 0 x operand 0 + weight 1 x operand 1 + ..., in this order in FP32
//   relu        operand 0, or +0 where its sign bit is set; a NaN becomes 16'h7FC0
//   rescale     operand 1 x (operand 0 x step 0) + operand 2 x (operand 0 x step 1) + ..., and with
//               bias the last operand as it is, in this order in FP32; steps are FP32
//
// A result is rounded to BF16 once, at its last operand. Operands of a word come one a clock at
// most, in_operand counting them. The weights of accumulate are the lanes of the word that came
// last with in_weights: LANES operands at most. A step of rescale is the two low lanes of a word
// that came with in_weights, its number being in_operand: LANES steps at most.
//
// A word's result is out 1 clock after its last operand, 2 with accumulate, 7 with rescale; ready
// comes with the last one. The sums have an addition without a register inside.

`default_nettype none

module gf_pim_elementwise #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                multiply,
  input  wire                accumulate,
  input  wire                relu,
  input  wire                rescale,
  input  wire                bias,
  input  wire                in_weights,
  input  wire                in_valid,
  input  wire [7:0]          in_operand,
  input  wire                in_last_operand,
  input  wire                in_last,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire [16*LANES-1:0] out
);

  localparam LaneBits = $clog2(LANES);
  localparam TermLatency = 3 + 3;
  localparam [31:0] MinusZero = 32'h80000000;  // a number stays what it is when it is added to it

  reg [16*LANES-1:0] weights;
  reg [31:0] steps [0:LANES-1];
  reg product_valid;
  reg product_first;
  wire [15:0] weight = weights[16*in_operand[LaneBits-1:0] +: 16];
  wire first = in_operand == 8'd0;

  // A term is a sum times its factor, or the bias. What the scales leave the first one starts anew.
  wire [LaneBits-1:0] step_number = in_operand[LaneBits-1:0] - 1'b1;
  wire [31:0] step = steps[step_number];
  wire term_valid;
  wire term_first;
  wire term_bias;
  gf_valid_delay #(.Depth(TermLatency)) term_valid_delay (
    .clk(clk), .rst(rst), .in(in_valid && rescale), .out(term_valid)
  );
  gf_delay #(.Width(2), .Depth(TermLatency)) term_delay (
    .clk(clk), .in({in_operand == 8'd1, bias && in_last_operand}), .out({term_first, term_bias})
  );

  always @(posedge clk) begin
    product_valid <= in_valid;
    product_first <= first;
    if (in_weights && rescale) begin
      steps[in_operand[LaneBits-1:0]] <= in[31:0];
    end else if (in_weights) begin
      weights <= in;
    end
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [15:0] number = in[16*lane +: 16];
      wire nan = number[14:0] > {8'd255, 7'd0};
      reg [15:0] held;
      reg [31:0] sum;
      wire [15:0] rescaled = rescale ? number : 16'd0;
      wire [15:0] rescaled_3;
      wire [15:0] rescaled_6;
      wire [31:0] factor;
      wire [31:0] scaled;
      wire [31:0] term = term_bias ? {rescaled_6, 16'd0} : scaled;
      wire [31:0] product;
      wire [31:0] next_sum;
      gf_pim_fp32_multiply #(.STAGES(3)) factor_unit (
        .clk(clk), .a(rescale ? {held, 16'd0} : 32'd0), .b(step), .y(factor)
      );
      gf_delay #(.Width(16), .Depth(3)) beside_factor (
        .clk(clk), .in(rescaled), .out(rescaled_3)
      );
      gf_pim_fp32_multiply #(.STAGES(3)) scaled_unit (
        .clk(clk), .a({rescaled_3, 16'd0}), .b(factor), .y(scaled)
      );
      gf_delay #(.Width(16), .Depth(3)) beside_scaled (
        .clk(clk), .in(rescaled_3), .out(rescaled_6)
      );
      gf_pim_bf16_multiply #(.STAGES(1)) product_unit (
        .clk(clk), .a(accumulate ? weight : held), .b(number), .y(product)
      );
      gf_pim_fp32_add #(.STAGES(0)) sum_unit (
        .clk(clk),
        .a((accumulate && product_first) ? 32'd0 : (rescale && term_first) ? MinusZero : sum),
        .b(accumulate ? product : rescale ? term : {number, 16'd0}), .y(next_sum)
      );
      always @(posedge clk) begin
        if (in_valid && first) begin
          held <= number;
        end
        if (accumulate || rescale) begin
          if (accumulate ? product_valid : term_valid) begin
            sum <= next_sum;
          end
        end else if (in_valid) begin
          sum <= (relu && number[15] && !nan) ? 32'd0 : first ? {number, 16'd0} : next_sum;
        end
      end
      gf_pim_fp32_to_bf16 to_bf16 (.a(multiply ? product : sum), .y(out[16*lane +: 16]));
    end
  endgenerate

  wire out_valid_1;
  wire out_valid_2;
  wire out_valid_7;
  wire ready_1;
  wire ready_2;
  wire ready_7;
  gf_valid_delay #(.Depth(1)) out_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_last_operand), .out(out_valid_1)
  );
  gf_valid_delay #(.Depth(1)) out_delay_again (
    .clk(clk), .rst(rst), .in(out_valid_1), .out(out_valid_2)
  );
  gf_valid_delay #(.Depth(1)) ready_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_last), .out(ready_1)
  );
  gf_valid_delay #(.Depth(1)) ready_delay_again (
    .clk(clk), .rst(rst), .in(ready_1), .out(ready_2)
  );
  gf_valid_delay #(.Depth(TermLatency)) out_delay_rescaled (
    .clk(clk), .rst(rst), .in(out_valid_1), .out(out_valid_7)
  );
  gf_valid_delay #(.Depth(TermLatency)) ready_delay_rescaled (
    .clk(clk), .rst(rst), .in(ready_1), .out(ready_7)
  );
  assign out_valid = rescale ? out_valid_7 : accumulate ? out_valid_2 : out_valid_1;
  assign ready = rescale ? ready_7 : accumulate ? ready_2 : ready_1;

endmodule

`default_nettype wire
