// gf_pim_countdown: how long something still has to wait.
//
//   load = n in clock t -> held in clocks t + 1 to t + n
//
// A shorter wait never ends a longer one early. load = 0 changes nothing.

`default_nettype none

module gf_pim_countdown #(
  parameter Bits = 8
) (
  input  wire            clk,
  input  wire            rst,
  input  wire [Bits-1:0] load,
  output wire            held
);

  localparam [Bits-1:0] Zero = {Bits{1'b0}};

  reg [Bits-1:0] left;
  wire [Bits-1:0] next_left = held ? left - 1'b1 : Zero;

  assign held = left != Zero;

  always @(posedge clk) begin
    if (rst) begin
      left <= Zero;
    end else begin
      left <= (load > next_left) ? load : next_left;
    end
  end

endmodule

`default_nettype wire
