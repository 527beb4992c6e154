// gf_unpack: takes the elements of a beat out of their whole bytes.
//
//   packed_beat[i] = tdata[i], its low Width bits of Padded; zeros while use_beat is low
//
// Of the final beat only LastLanes of Lanes lanes hold tokens: the others are zeros, whatever
// the sender put there. A lane has Elements elements.

`default_nettype none

module gf_unpack #(
  parameter Lanes = 1,
  parameter LastLanes = 1,
  parameter Elements = 1,
  parameter Width = 8,
  parameter Padded = 8
) (
  input  wire                             use_beat,
  input  wire                             final_beat,
  input  wire [Lanes*Elements*Padded-1:0] tdata,
  output wire [Lanes*Elements*Width-1:0]  packed_beat
);

  wire use_all = use_beat && (!final_beat || LastLanes == Lanes);

  genvar i;
  generate
    for (i = 0; i < Lanes * Elements; i = i + 1) begin : gen_element
      wire used = (i < LastLanes * Elements) ? use_beat : use_all;
      assign packed_beat[i*Width +: Width] = tdata[i*Padded +: Width] & {Width{used}};
      if (Padded > Width) begin : gen_padding
        wire [Padded-Width-1:0] unused_padding = tdata[i*Padded+Width +: Padded-Width];
      end
    end
  endgenerate

endmodule

`default_nettype wire
