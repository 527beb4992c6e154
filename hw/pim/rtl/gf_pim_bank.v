// gf_pim_bank: a bank: its rows, its row buffer with the open row, and its multipliers.
//
//   activate     in clock t: the row is open and in the row buffer from clock t + 1 on
//   precharge    in clock t: closed from clock t + 1 on
//   at_row       the open row is the one asked for
//   column_data  the row buffer's access at column, in the same clock
//   write        in clock t: the bytes at column whose bit of write_bytes is 1 are new from clock
//                t + 1 on, in the row buffer and in the row itself, whose cells hang on the row
//                buffer while it is open. So a precharge has nothing to save.
//   multiply     in clock t: the access at column times the inputs of clock t + 1 is added to the
//                sum
//   load         in clock t: the sum is set to the bias of clock t
//   result       the sum as BF16; what clock t does is in it from clock t + MacStages + 2 on
//
// The access goes through a register on its way to the multipliers; so the inputs come a clock
// late, from a register that all banks share.
//
// WeightBits  16: weights, inputs and bias are BF16, the sum is FP32 (gf_pim_mac); 8 or 4: weights
//             are whole numbers of that many bits, inputs of 8, the sum of 32 (gf_pim_int_mac)
// Outside     1: the rows are kept by what simulates it (gf_pim_array)

`default_nettype none

module gf_pim_bank #(
  parameter Rows = 64,
  parameter Columns = 64,
  parameter AccessBits = 256,
  parameter InputBits = 256,
  parameter WeightBits = 16,
  parameter MacStages = 0,
  parameter Outside = 0
) (
  input  wire                    clk,
  input  wire                    rst,
  input  wire                    activate,
  input  wire                    precharge,
  input  wire [29:0]             row,
  output reg                     open,
  output wire                    at_row,
  input  wire [15:0]             column,
  output wire [AccessBits-1:0]   column_data,
  input  wire                    write,
  input  wire [AccessBits-1:0]   write_data,
  input  wire [AccessBits/8-1:0] write_bytes,
  input  wire                    multiply,
  input  wire [InputBits-1:0]    inputs,
  input  wire                    load,
  input  wire [15:0]             bias,
  output wire [15:0]             result
);

  localparam RowBits = Columns * AccessBits;
  localparam AccessBytes = AccessBits / 8;

  reg [29:0] open_row;
  reg [RowBits-1:0] row_buffer;
  wire [RowBits-1:0] row_data;
  wire [AccessBits-1:0] written;

  assign at_row = open && open_row == row;
  assign column_data = row_buffer[column*AccessBits +: AccessBits];

  gf_pim_array #(
    .Rows(Rows), .Columns(Columns), .AccessBits(AccessBits), .Outside(Outside)
  ) array (
    .clk(clk), .row(row), .row_data(row_data), .write(write), .write_row(open_row),
    .write_column(column), .write_data(written)
  );

  genvar i;
  generate
    for (i = 0; i < AccessBytes; i = i + 1) begin : gen_byte
      assign written[8*i +: 8] = write_bytes[i] ? write_data[8*i +: 8] : column_data[8*i +: 8];
    end
  endgenerate

  always @(posedge clk) begin
    if (rst) begin
      open <= 1'b0;
    end else if (activate) begin
      open <= 1'b1;
    end else if (precharge) begin
      open <= 1'b0;
    end
  end

  // A row that is open already is not fetched again.
  always @(posedge clk) begin
    if (activate && !open) begin
      open_row <= row;
      row_buffer <= row_data;
    end else if (write) begin
      row_buffer[column*AccessBits +: AccessBits] <= written;
    end
  end

  // The multipliers, behind the register of the access.
  reg [AccessBits-1:0] weights;
  reg [15:0] bias_1;
  reg multiply_1;
  reg load_1;
  wire [31:0] sum;

  always @(posedge clk) begin
    if (multiply) begin
      weights <= column_data;
    end
    bias_1 <= bias;
    multiply_1 <= multiply && !rst;
    load_1 <= load && !rst;
  end

  generate
    if (WeightBits == 16) begin : gen_bf16
      gf_pim_mac #(.LANES(AccessBits / 16), .STAGES(MacStages)) mac (
        .clk(clk), .rst(rst), .load(load_1), .bias({bias_1, 16'd0}), .multiply(multiply_1),
        .weights(weights), .inputs(inputs), .sum(sum)
      );
      gf_pim_fp32_to_bf16 round (.a(sum), .y(result));
    end else begin : gen_whole
      wire [31:0] wide_sum;
      gf_pim_int_mac #(
        .LANES(AccessBits / WeightBits), .WEIGHT_BITS(WeightBits), .STAGES(MacStages)
      ) mac (
        .clk(clk), .rst(rst), .load(load_1), .bias({{16{bias_1[15]}}, bias_1}),
        .multiply(multiply_1), .weights(weights), .inputs(inputs), .sum(sum)
      );
      gf_pim_fp32_from_int widen (.a(sum), .y(wide_sum));
      gf_pim_fp32_to_bf16 round (.a(wide_sum), .y(result));
    end
  endgenerate

endmodule

`default_nettype wire
