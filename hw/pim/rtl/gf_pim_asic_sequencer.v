// gf_pim_asic_sequencer: walks through the vectors of one operation of the ASIC.
//
// For each vector and each phase it reads the vector's words, and for each word its operands, one a
// clock; then it waits until the unit is ready. Operations of one phase go on with the next vector
// at once. done comes in the clock after the last ready.
//
//   clocks from start to done  1 + vectors x sum over phases of (reads + clocks until ready + 1)
//   with one phase             1 + all reads + clocks until ready + 1
//
// where reads are words x operands, and one more a vector with weights, count more with rescale; a
// unit's header tells how many clocks after its last operand it is ready. That operand comes one
// clock after its read.
//
// Operand 0 is at source_a. The next ones are at
//   sum        source_b, then source_b + stride, ...          multiply  source_b
//   weighted   source_a + stride, ...; weights at source_b + vector
//   merge      source_a + stride, ...; in phases 0 and 1 source_b + vector, and stride, ... behind
//   rotary     the half behind source_a's, source_b (cosines), source_c (sines)
//   norms      source_b (gain), source_c (bias), the same for all vectors
//   rescale    source_a + stride, ..., each a vector and behind it its step's word; all steps are
//              read first. In front of them operand 0 is at source_b, a bias behind at source_c
// A vector's words follow one another, and vectors one another; source_a and, with sum or multiply,
// source_b move on with them. Results stand likewise from destination on; with
// word_behind, for which there are two phases, there is one more word behind each vector, and with
// one_word but one word a vector.

`default_nettype none

module gf_pim_asic_sequencer #(
  parameter LANES = 16,
  parameter AddressBits = 12,
  parameter LengthBits = AddressBits + $clog2(LANES)
) (
  input  wire                   clk,
  input  wire                   rst,
  // the operation
  input  wire                   start,
  input  wire                   sum,
  input  wire                   multiply,
  input  wire                   weighted,
  input  wire                   merge,
  input  wire                   rotary,
  input  wire                   rescale,
  input  wire                   bias,
  input  wire                   word_behind,
  input  wire                   one_word,
  input  wire                   softmax,
  input  wire                   layernorm,
  input  wire                   rmsnorm,
  input  wire [AddressBits-1:0] source_a,
  input  wire [AddressBits-1:0] source_b,
  input  wire [AddressBits-1:0] source_c,
  input  wire [AddressBits-1:0] destination,
  input  wire [AddressBits-1:0] stride,
  input  wire [7:0]             count,
  input  wire [LengthBits-1:0]  length,
  input  wire [AddressBits-1:0] vectors,
  output reg                    busy,
  output reg                    done,
  // to the memory
  output reg  [AddressBits-1:0] read_address,
  output wire [AddressBits-1:0] write_address,
  output wire [LANES-1:0]       write_keep,
  // to the units: what the memory gives in this clock
  output reg  [1:0]             in_phase,
  output reg                    in_weights,
  output reg                    in_valid,
  output reg  [7:0]             in_operand,
  output reg                    in_first,
  output reg                    in_last_operand,
  output reg                    in_last,
  output reg  [LANES-1:0]       in_keep,
  // from the units
  input  wire                   ready,
  input  wire                   out_valid,
  input  wire                   out_second
);

  localparam LaneBits = $clog2(LANES);

  // Words, and the lanes of the last one.
  wire [LengthBits-1:0] before_last = length - 1'b1;
  wire [AddressBits-1:0] last_word = before_last[LengthBits-1:LaneBits];
  wire [AddressBits-1:0] words = last_word + 1'b1;
  wire [LANES-1:0] tail_keep = {LANES{1'b1}} >> ~before_last[LaneBits-1:0];

  wire three_phases = softmax || layernorm || rmsnorm || merge;
  wire [1:0] first_phase = rmsnorm ? 2'd1 : 2'd0;
  wire [1:0] last_phase = three_phases ? 2'd2 : word_behind ? 2'd1 : 2'd0;
  wire flows = !three_phases && !word_behind && !one_word;

  reg walking;
  reg weights_next;
  reg [1:0] phase;
  reg [7:0] operand;
  reg [AddressBits-1:0] word;
  reg [AddressBits-1:0] vector;
  reg [AddressBits-1:0] vector_offset;
  reg [AddressBits-1:0] operand_offset;

  wire [7:0] last_operand =
    (sum || weighted || merge) ? count - 8'd1
    : rescale ? count + {7'd0, bias}
    : multiply ? 8'd1
    : rotary ? 8'd3
    : (layernorm && phase == 2'd2) ? 8'd2
    : (rmsnorm && phase == 2'd2) ? 8'd1
    : 8'd0;
  wire operand_ends = operand == last_operand;
  wire heads_words = merge && phase != 2'd2;  // one of each share
  wire word_ends = heads_words || word == last_word;
  wire last_vector = vector == vectors - 1'b1;
  wire walk_ends = operand_ends && word_ends && (!flows || last_vector);
  wire reads = walking && !weights_next;
  wire strides = !operand_ends && (weighted || merge || ((sum || rescale) && operand != 8'd0));
  wire weights_end = !rescale || operand == count - 8'd1;
  wire tiles_next = rescale && operand != 8'd0 && operand <= count;

  wire [AddressBits-1:0] vector_words = rotary ? words + words : words;
  wire [AddressBits-1:0] place_a = source_a + vector_offset + word;

  always @* begin
    if (weights_next && rescale) begin
      read_address = source_a + words + operand_offset;
    end else if (weights_next) begin
      read_address = source_b + vector;
    end else if (heads_words) begin
      read_address = source_b + vector + operand_offset;
    end else if (weighted || merge || tiles_next) begin
      read_address = place_a + operand_offset;
    end else if (operand == 8'd0 && !rescale) begin
      read_address = place_a;
    end else if (sum || multiply) begin
      read_address = source_b + vector_offset + word + operand_offset;
    end else if (rotary && operand == 8'd1) begin
      read_address = place_a + words;
    end else if (operand == (rotary ? 8'd2 : rescale ? 8'd0 : 8'd1)) begin
      read_address = source_b + word;
    end else begin
      read_address = source_c + word;
    end
  end

  always @(posedge clk) begin
    done <= 1'b0;
    if (rst) begin
      busy <= 1'b0;
      walking <= 1'b0;
    end else if (start && !busy) begin
      busy <= 1'b1;
      walking <= 1'b1;
      weights_next <= weighted || rescale;
      phase <= first_phase;
      operand <= 8'd0;
      word <= {AddressBits{1'b0}};
      vector <= {AddressBits{1'b0}};
      vector_offset <= {AddressBits{1'b0}};
      operand_offset <= {AddressBits{1'b0}};
    end else if (walking) begin
      if (weights_next) begin
        weights_next <= !weights_end;
        operand <= weights_end ? 8'd0 : operand + 8'd1;
        operand_offset <= weights_end ? {AddressBits{1'b0}} : operand_offset + stride;
      end
      if (reads) begin
        operand <= operand_ends ? 8'd0 : operand + 8'd1;
        operand_offset <= strides ? operand_offset + stride : {AddressBits{1'b0}};
        if (operand_ends) begin
          word <= word_ends ? {AddressBits{1'b0}} : word + 1'b1;
          if (word_ends) begin
            walking <= !walk_ends;
            if (!walk_ends) begin
              vector <= vector + 1'b1;
              vector_offset <= vector_offset + vector_words;
              weights_next <= weighted;
            end
          end
        end
      end
    end else if (busy && ready) begin
      if (phase != last_phase) begin
        phase <= phase + 2'd1;
        walking <= 1'b1;
      end else if (!last_vector) begin
        phase <= first_phase;
        vector <= vector + 1'b1;
        vector_offset <= vector_offset + vector_words;
        walking <= 1'b1;
      end else begin
        busy <= 1'b0;
        done <= 1'b1;
      end
    end
  end

  // What was read comes a clock later.
  always @(posedge clk) begin
    in_valid <= reads && !rst;
    in_weights <= walking && weights_next && !rst;
    in_phase <= phase;
    in_operand <= operand;
    in_first <= word == {AddressBits{1'b0}};
    in_last_operand <= operand_ends;
    in_last <= walk_ends;
    in_keep <= word_ends ? tail_keep : {LANES{1'b1}};
  end

  // Results: words of a vector in their order, then those of the next vector.
  reg [AddressBits-1:0] out_word;
  reg [AddressBits-1:0] out_offset;
  wire out_tail = out_word == last_word;
  wire out_ends = one_word || (word_behind ? out_word == words : out_tail);
  wire [AddressBits-1:0] out_words =
    one_word ? {{(AddressBits-1){1'b0}}, 1'b1} : word_behind ? words + 1'b1 : vector_words;

  assign write_address = destination + out_offset + out_word
                       + (out_second ? words : {AddressBits{1'b0}});
  assign write_keep = (out_tail && !one_word) ? tail_keep : {LANES{1'b1}};

  always @(posedge clk) begin
    if (!busy) begin
      out_word <= {AddressBits{1'b0}};
      out_offset <= {AddressBits{1'b0}};
    end else if (out_valid && (!rotary || out_second)) begin
      out_word <= out_ends ? {AddressBits{1'b0}} : out_word + 1'b1;
      if (out_ends) begin
        out_offset <= out_offset + out_words;
      end
    end
  end

endmodule

`default_nettype wire
