// gf_pim_sram: the ASIC's memory: words of LANES 16-bit numbers, one read and one write a clock.
//
//   read_address in clock t -> read_data in clock t + 1, from before a write of clock t
//   write in clock t        -> the lanes that write_keep marks hold write_data from clock t + 1 on

`default_nettype none

module gf_pim_sram #(
  parameter LANES = 16,
  parameter WORDS = 4096,
  parameter AddressBits = $clog2(WORDS)
) (
  input  wire                   clk,
  input  wire [AddressBits-1:0] read_address,
  output wire [16*LANES-1:0]    read_data,
  input  wire                   write,
  input  wire [AddressBits-1:0] write_address,
  input  wire [LANES-1:0]       write_keep,
  input  wire [16*LANES-1:0]    write_data
);

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      reg [15:0] memory [0:WORDS-1];
      reg [15:0] number;
      always @(posedge clk) begin
        if (write && write_keep[lane]) begin
          memory[write_address] <= write_data[16*lane +: 16];
        end
        number <= memory[read_address];
      end
      assign read_data[16*lane +: 16] = number;
    end
  endgenerate

endmodule

`default_nettype wire
