// gf_pack: extends each element of a beat to whole bytes.
//
//   tdata[i] = packed_beat[i] from Width to Padded bits, by its sign where Signed is 1

`default_nettype none

module gf_pack #(
  parameter Elements = 1,
  parameter Width = 8,
  parameter Padded = 8,
  parameter Signed = 1
) (
  input  wire [Elements*Width-1:0]  packed_beat,
  output wire [Elements*Padded-1:0] tdata
);

  genvar i;
  generate
    for (i = 0; i < Elements; i = i + 1) begin : gen_element
      assign tdata[i*Padded +: Width] = packed_beat[i*Width +: Width];
      if (Padded > Width) begin : gen_padding
        if (Signed != 0) begin : gen_sign
          assign tdata[i*Padded+Width +: Padded-Width] =
            {(Padded-Width){packed_beat[i*Width+Width-1]}};
        end else begin : gen_zero
          assign tdata[i*Padded+Width +: Padded-Width] = {(Padded-Width){1'b0}};
        end
      end
    end
  endgenerate

endmodule

`default_nettype wire
