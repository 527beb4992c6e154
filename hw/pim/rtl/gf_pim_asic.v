// gf_pim_asic: what computes beside the memory: vectors in an SRAM, and units that work on them.
//
// One operation at a time: start for a clock, with the fields beside it held until done. A vector's
// numbers are BF16, LANES in a word, the first in the low bits; the last word may hold fewer, and
// what stands behind them in a result's place stays. Every vector begins with a word.
//
//   unit  operation of a vector                      fields besides source_a, length, vectors
//   0     sum of count operands                      source_b, stride, count (2 to 255)
//   1     product of two operands                    source_b
//   2     sum of count weighted operands             source_b (weights), stride, count (1 to LANES)
//   3     rotary; length is a head's half            source_b (cosines), source_c (sines)
//   4     ReLU    5  GELU    6  SiLU    7  softmax
//   8     LayerNorm                                  source_b (gain), source_c (bias),
//   9     RMSNorm                                    inverse_width, epsilon: FP32
//   10    quantize to INT8
//   11    maximum: lane 0 its value, lanes 1 and 2 its place's low and high half
//   12    select: the words of the largest sums      count (how many; 1 to 255)
//         of magnitudes; bit c of one word is set
//         where word c is one of them, of 4 LANES
//   13    shares of attention merged                 source_b (m, l), stride, count (1 to 4 LANES)
//   14    a share's exponentials: exp(x - m), and behind the vector m and l
//   15    sum of count (1 to LANES) tiles' sums,     source_b (scales), source_c (bias), bias,
//         each times (scale x the tile's step); and  stride, count; of one vector
//         with bias the bias
//
// Where operands and results stand, and the clocks from start to done: see gf_pim_asic_sequencer
// and the units' headers. Results of 0 to 9 and 13 to 15 are rounded to BF16 once, where they are
// written. The host's port works while busy is low; its reads take a clock. Results may take an
// operand's place, but for those of quantize, maximum, select and shares, whose vectors are of
// another length.
//
// An operation without a number, or with more or fewer operands, vectors or words than may be, and
// a start while busy, end a simulation.
//
// LANES  a power of two, from 4 to 128

`default_nettype none

module gf_pim_asic #(
  parameter LANES = 16,
  parameter WORDS = 4096,
  parameter AddressBits = $clog2(WORDS),
  parameter LengthBits = AddressBits + $clog2(LANES)
) (
  input  wire                   clk,
  input  wire                   rst,
  input  wire                   start,
  input  wire [3:0]             unit,
  input  wire [AddressBits-1:0] source_a,
  input  wire [AddressBits-1:0] source_b,
  input  wire [AddressBits-1:0] source_c,
  input  wire [AddressBits-1:0] destination,
  input  wire [AddressBits-1:0] stride,
  input  wire [7:0]             count,
  input  wire                   bias,
  input  wire [LengthBits-1:0]  length,
  input  wire [AddressBits-1:0] vectors,
  input  wire [31:0]            inverse_width,
  input  wire [31:0]            epsilon,
  output wire                   busy,
  output wire                   done,
  input  wire [AddressBits-1:0] host_address,
  input  wire                   host_write,
  input  wire [16*LANES-1:0]    host_data,
  output wire [16*LANES-1:0]    host_read_data
);

  localparam PlaceBits = 24;
  localparam Columns = 4 * LANES;
  localparam Shares = (LANES < 64) ? 4 * LANES : 256;

  wire sum = unit == 4'd0;
  wire multiply = unit == 4'd1;
  wire weighted = unit == 4'd2;
  wire rotary = unit == 4'd3;
  wire relu = unit == 4'd4;
  wire gelu = unit == 4'd5;
  wire silu = unit == 4'd6;
  wire softmax = unit == 4'd7;
  wire layernorm = unit == 4'd8;
  wire rmsnorm = unit == 4'd9;
  wire quantize = unit == 4'd10;
  wire maximum = unit == 4'd11;
  wire select = unit == 4'd12;
  wire merge = unit == 4'd13;
  wire share = unit == 4'd14;
  wire rescale = unit == 4'd15;
  wire elementwise = sum || multiply || weighted || relu || rescale;

  wire [AddressBits-1:0] read_address;
  wire [AddressBits-1:0] write_address;
  wire [LANES-1:0] write_keep;
  wire [1:0] in_phase;
  wire in_weights;
  wire in_valid;
  wire [7:0] in_operand;
  wire in_first;
  wire in_last_operand;
  wire in_last;
  wire [LANES-1:0] in_keep;
  wire [16*LANES-1:0] in;
  wire ready;
  wire out_valid;
  wire out_second;
  wire [16*LANES-1:0] out;

  gf_pim_asic_sequencer #(
    .LANES(LANES), .AddressBits(AddressBits), .LengthBits(LengthBits)
  ) sequencer (
    .clk(clk), .rst(rst), .start(start),
    .sum(sum), .multiply(multiply), .weighted(weighted), .merge(merge), .rotary(rotary),
    .rescale(rescale), .bias(bias),
    .word_behind(quantize || share), .one_word(maximum || select),
    .softmax(softmax), .layernorm(layernorm), .rmsnorm(rmsnorm),
    .source_a(source_a), .source_b(source_b), .source_c(source_c), .destination(destination),
    .stride(stride), .count(count), .length(length), .vectors(vectors),
    .busy(busy), .done(done),
    .read_address(read_address), .write_address(write_address), .write_keep(write_keep),
    .in_phase(in_phase), .in_weights(in_weights), .in_valid(in_valid), .in_operand(in_operand),
    .in_first(in_first), .in_last_operand(in_last_operand), .in_last(in_last), .in_keep(in_keep),
    .ready(ready), .out_valid(out_valid), .out_second(out_second)
  );

  gf_pim_sram #(.LANES(LANES), .WORDS(WORDS)) sram (
    .clk(clk),
    .read_address(busy ? read_address : host_address), .read_data(in),
    .write(busy ? out_valid : host_write),
    .write_address(busy ? write_address : host_address),
    .write_keep(busy ? write_keep : {LANES{1'b1}}),
    .write_data(busy ? out : host_data)
  );
  assign host_read_data = in;

  // A unit that does not work sees zeros, so that its pipelines stay still.
  wire [16*LANES-1:0] still = {(16*LANES){1'b0}};

  wire elementwise_ready;
  wire elementwise_out_valid;
  wire [16*LANES-1:0] elementwise_out;
  gf_pim_elementwise #(.LANES(LANES)) elementwise_unit (
    .clk(clk), .rst(rst), .multiply(multiply), .accumulate(weighted), .relu(relu),
    .rescale(rescale), .bias(bias),
    .in_weights(in_weights), .in_valid(in_valid && elementwise), .in_operand(in_operand),
    .in_last_operand(in_last_operand), .in_last(in_last), .in(elementwise ? in : still),
    .ready(elementwise_ready), .out_valid(elementwise_out_valid), .out(elementwise_out)
  );

  wire rotary_ready;
  wire rotary_out_valid;
  wire [16*LANES-1:0] rotary_out;
  gf_pim_rotary #(.LANES(LANES)) rotary_unit (
    .clk(clk), .rst(rst), .in_valid(in_valid && rotary), .in_operand(in_operand[1:0]),
    .in_last(in_last), .in(rotary ? in : still), .ready(rotary_ready), .out_valid(rotary_out_valid),
    .out_second(out_second), .out(rotary_out)
  );

  wire activation_ready;
  wire activation_out_valid;
  wire [16*LANES-1:0] activation_out;
  gf_pim_activation #(.LANES(LANES)) activation_unit (
    .clk(clk), .rst(rst), .gelu(gelu), .in_valid(in_valid && (gelu || silu)), .in_last(in_last),
    .in((gelu || silu) ? in : still),
    .ready(activation_ready), .out_valid(activation_out_valid), .out(activation_out)
  );

  wire softmax_ready;
  wire softmax_out_valid;
  wire [16*LANES-1:0] softmax_out;
  gf_pim_softmax #(.LANES(LANES)) softmax_unit (
    .clk(clk), .rst(rst), .share(share), .phase(in_phase),
    .in_valid(in_valid && (softmax || share)), .in_first(in_first), .in_last(in_last),
    .in_keep(in_keep), .in((softmax || share) ? in : still),
    .ready(softmax_ready), .out_valid(softmax_out_valid), .out(softmax_out)
  );

  wire norm_ready;
  wire norm_out_valid;
  wire [16*LANES-1:0] norm_out;
  gf_pim_norm #(.LANES(LANES)) norm_unit (
    .clk(clk), .rst(rst), .root_mean(rmsnorm), .inverse_width(inverse_width), .epsilon(epsilon),
    .phase(in_phase), .in_valid(in_valid && (layernorm || rmsnorm)),
    .in_operand(in_operand[1:0]), .in_first(in_first),
    .in_last(in_last), .in_keep(in_keep), .in((layernorm || rmsnorm) ? in : still),
    .ready(norm_ready), .out_valid(norm_out_valid), .out(norm_out)
  );

  wire quantize_ready;
  wire quantize_out_valid;
  wire [16*LANES-1:0] quantize_out;
  gf_pim_quantize #(.LANES(LANES)) quantize_unit (
    .clk(clk), .rst(rst), .phase(in_phase), .in_valid(in_valid && quantize), .in_first(in_first),
    .in_last(in_last), .in_keep(in_keep), .in(quantize ? in : still),
    .ready(quantize_ready), .out_valid(quantize_out_valid), .out(quantize_out)
  );

  wire maximum_ready;
  wire [15:0] largest;
  wire [PlaceBits-1:0] place;
  gf_pim_maximum #(.LANES(LANES), .PlaceBits(PlaceBits)) maximum_unit (
    .clk(clk), .take(in_valid && maximum), .first(in_first), .keep(in_keep),
    .in(maximum ? in : still),
    .largest(largest), .place(place)
  );
  gf_valid_delay #(.Depth(2)) maximum_delay (
    .clk(clk), .rst(rst), .in(in_valid && maximum && in_last), .out(maximum_ready)
  );

  wire select_ready;
  wire [Columns-1:0] selected;
  gf_pim_select #(.LANES(LANES), .Columns(Columns)) select_unit (
    .clk(clk), .rst(rst), .keep(count), .in_valid(in_valid && select), .in_first(in_first),
    .in_last(in_last), .in_keep(in_keep), .in(select ? in : still),
    .ready(select_ready), .kept(selected)
  );

  wire merge_ready;
  wire merge_out_valid;
  wire [16*LANES-1:0] merge_out;
  gf_pim_merge #(.LANES(LANES), .Shares(Shares)) merge_unit (
    .clk(clk), .rst(rst), .phase(in_phase), .in_valid(in_valid && merge), .in_operand(in_operand),
    .in_last_operand(in_last_operand), .in_last(in_last), .in(merge ? in : still),
    .ready(merge_ready), .out_valid(merge_out_valid), .out(merge_out)
  );

  assign ready = elementwise_ready || rotary_ready || activation_ready || softmax_ready
              || norm_ready || quantize_ready || maximum_ready || select_ready
              || merge_ready;
  assign out_valid = elementwise_out_valid || rotary_out_valid || activation_out_valid
                  || softmax_out_valid || norm_out_valid || quantize_out_valid || maximum_ready
                  || select_ready || merge_out_valid;
  assign out = rotary ? rotary_out
             : (gelu || silu) ? activation_out
             : (softmax || share) ? softmax_out
             : (layernorm || rmsnorm) ? norm_out
             : quantize ? quantize_out
             : maximum ? {{(16*LANES-16-PlaceBits){1'b0}}, place, largest}
             : merge ? merge_out
             : select ? {{(16*LANES-Columns){1'b0}}, selected}
             : elementwise_out;

`ifndef SYNTHESIS
  // What no unit can do ends a simulation.
  localparam [31:0] MostWeights = LANES;
  localparam [31:0] MostNumbers = Columns * LANES;
  localparam [31:0] MostShares = Shares;
  wire empty = length == {LengthBits{1'b0}} || vectors == {AddressBits{1'b0}};
  wire miscounted =
    (sum && count < 8'd2)
    || ((weighted || rescale) && (count == 8'd0 || count > MostWeights[7:0]))
    || (rescale && vectors != {{(AddressBits-1){1'b0}}, 1'b1})
    || (select && (count == 8'd0 || {{(32-LengthBits){1'b0}}, length} > MostNumbers))
    || (merge && (count == 8'd0 || {24'd0, count} > MostShares));

  always @(posedge clk) begin
    if (start && !rst && (busy || empty || miscounted)) begin
      $display("FATAL %m: illegal operation: unit %0d, length %0d, vectors %0d, count %0d%0s",
               unit, length, vectors, count, busy ? ", while busy" : "");
      $finish;
    end
  end
`endif

endmodule

`default_nettype wire
