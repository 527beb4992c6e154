// gf_pim_fp32_round: gives an exact number, or one cut off with a sticky bit, its FP32 form.
//
//   y = (-1)^sign  value / 2^(WIDTH-1)  2^(exponent-127), rounded to nearest even
//
// value     WIDTH bits without sign, at least 27; where lower bits were cut off its lowest bit is
//           the OR of them (sticky), and it has 27 bits to the left of that
// exponent  the biased exponent that y has where the top bit of value is set, 1 to 511
// nan, infinite   y is 32'h7FC00000, or an infinity, whatever the value is
//
// A value with leading zeros is moved to the left, but its exponent never falls below 1: what is
// still without its leading one then is a subnormal number. Its exponent field is 0.
//
// STAGES  0, 1 or 2: registers between counting and moving, and between moving and rounding

`default_nettype none

module gf_pim_fp32_round #(
  parameter WIDTH = 28,
  parameter STAGES = 0
) (
  input  wire             clk,
  input  wire             sign,
  input  wire             nan,
  input  wire             infinite,
  input  wire [8:0]       exponent,
  input  wire [WIDTH-1:0] value,
  output wire [31:0]      y
);

  localparam CountBits = $clog2(WIDTH);
  localparam MovedWidth = WIDTH + 9 + CountBits + 3;
  localparam RoundedWidth = 27 + 9 + 3;

  // How many places the value moves: its leading zeros, up to the place of exponent 1. A one that
  // is put there ends the count.
  wire [WIDTH-1:0] top = {1'b1, {(WIDTH-1){1'b0}}};
  wire [8:0] above_one = exponent - 9'd1;
  wire [CountBits-1:0] count = leading_zeros(value | (top >> above_one));

  function [CountBits-1:0] leading_zeros;
    input [WIDTH-1:0] number;
    reg [WIDTH-1:0] rest;
    integer bit_number;
    begin
      rest = number;
      for (bit_number = CountBits - 1; bit_number >= 0; bit_number = bit_number - 1) begin
        leading_zeros[bit_number] = (rest >> (WIDTH - (1 << bit_number))) == {WIDTH{1'b0}};
        if (leading_zeros[bit_number]) begin
          rest = rest << (1 << bit_number);
        end
      end
    end
  endfunction

  wire [MovedWidth-1:0] counted;
  wire [WIDTH-1:0] value_1;
  wire [8:0] exponent_1;
  wire [CountBits-1:0] count_1;
  wire [2:0] kind_1;

  gf_delay #(.Width(MovedWidth), .Depth((STAGES >= 1) ? 1 : 0)) after_count (
    .clk(clk), .in({value, exponent, count, sign, nan, infinite}), .out(counted)
  );
  assign {value_1, exponent_1, count_1, kind_1} = counted;

  // 24 bits of a significand, then guard, round and sticky.
  wire [WIDTH-1:0] moved = value_1 << count_1;
  wire [26:0] significand = {moved[WIDTH-1:WIDTH-26], |moved[WIDTH-27:0]};
  wire [8:0] lowered = exponent_1 - {{(9-CountBits){1'b0}}, count_1};

  wire [RoundedWidth-1:0] normal;
  wire [26:0] significand_2;
  wire [8:0] exponent_2;
  wire sign_2;
  wire nan_2;
  wire infinite_2;

  gf_delay #(.Width(RoundedWidth), .Depth((STAGES >= 2) ? 1 : 0)) after_move (
    .clk(clk), .in({significand, lowered, kind_1}), .out(normal)
  );
  assign {significand_2, exponent_2, sign_2, nan_2, infinite_2} = normal;

  // Exponent field and fraction as one number, so that a carry out of the fraction raises the
  // exponent: to the smallest normal number, to the next power of two, or to infinity.
  wire [8:0] field = significand_2[26] ? exponent_2 : 9'd0;
  wire round_up = significand_2[2] && (significand_2[1:0] != 2'b00 || significand_2[3]);
  wire [31:0] rounded = {field, significand_2[25:3]} + {31'd0, round_up};
  wire overflow = rounded[31:23] >= 9'd255;

  assign y = nan_2 ? 32'h7FC00000
           : (infinite_2 || overflow) ? {sign_2, 8'd255, 23'd0}
           : {sign_2, rounded[30:0]};

endmodule

`default_nettype wire
