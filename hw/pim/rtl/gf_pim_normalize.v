// gf_pim_normalize: an FP32 number's fraction and exponent, those of subnormal numbers too.
//
//   |a| = 1.fraction 2^(exponent-127)   where a is neither zero, infinite nor a NaN
//
// exponent is signed: from -22, for the smallest subnormal number, to 254. Combinational.

`default_nettype none

module gf_pim_normalize (
  input  wire        [30:0] a,
  output wire        [22:0] fraction,
  output wire signed [8:0]  exponent
);

  wire [4:0] places = leading_zeros(a[22:0]);

  function [4:0] leading_zeros;
    input [22:0] number;
    integer bit_number;
    begin
      leading_zeros = 5'd23;
      for (bit_number = 0; bit_number < 23; bit_number = bit_number + 1) begin
        if (number[bit_number]) begin
          leading_zeros = 5'd22 - bit_number[4:0];
        end
      end
    end
  endfunction

  wire normal = a[30:23] != 8'd0;
  wire [22:0] moved = a[22:0] << places;

  assign fraction = normal ? a[22:0] : {moved[21:0], 1'b0};
  assign exponent = normal ? {1'b0, a[30:23]} : 9'd0 - {4'd0, places};

endmodule

`default_nettype wire
