// gf_pim_reply: numbers on their way out, a fixed number of clocks after they were read.
//
//   in_valid, in in clock t -> out_valid, out in clock t + Clocks; Clocks = 0 is a wire
//
// A shift register carries the valid bit; the numbers stay where they are in a ring of Clocks
// words. Reset drops what is on its way.

`default_nettype none

module gf_pim_reply #(
  parameter Width = 256,
  parameter Clocks = 26
) (
  input  wire             clk,
  input  wire             rst,
  input  wire             in_valid,
  input  wire [Width-1:0] in,
  output wire             out_valid,
  output wire [Width-1:0] out
);

  generate
    if (Clocks == 0) begin : gen_wire
      wire unused = &{clk, rst};
      assign out_valid = in_valid;
      assign out = in;
    end else begin : gen_ring
      localparam PointerBits = (Clocks > 1) ? $clog2(Clocks) : 1;
      localparam [31:0] Last = Clocks - 1;

      reg [Clocks-1:0] on_its_way;
      reg [Width-1:0] ring [0:Clocks-1];
      reg [PointerBits-1:0] write_pointer;
      reg [PointerBits-1:0] read_pointer;
      wire [Clocks:0] shifted = {on_its_way, in_valid};

      assign out_valid = on_its_way[Clocks-1];
      assign out = ring[read_pointer];

      always @(posedge clk) begin
        if (in_valid) begin
          ring[write_pointer] <= in;
        end
      end

      always @(posedge clk) begin
        if (rst) begin
          on_its_way <= {Clocks{1'b0}};
          write_pointer <= {PointerBits{1'b0}};
          read_pointer <= {PointerBits{1'b0}};
        end else begin
          on_its_way <= shifted[Clocks-1:0];
          if (in_valid) begin
            write_pointer <= (write_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                      : write_pointer + 1'b1;
          end
          if (out_valid) begin
            read_pointer <= (read_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                    : read_pointer + 1'b1;
          end
        end
      end
    end
  endgenerate

endmodule

`default_nettype wire
