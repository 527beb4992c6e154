// gf_pim_decode: what each instruction asks a channel for (hw/pim/isa.py has the same table).
//
//   command        the command of each of its requests, by its number in isa.COMMANDS
//   register_mode  1: the channel must be switched to its registers, 0: to its arrays
//   all_rows       the row must be open in every bank
//   one_row        the row must be open in the bank
//   blocks         the host waits until it has completed
//   host_only      it has no command: the host alone acts
//   known          it is an instruction

`default_nettype none

module gf_pim_decode (
  input  wire [4:0] op,
  output reg  [4:0] command,
  output reg        register_mode,
  output reg        all_rows,
  output reg        one_row,
  output reg        blocks,
  output reg        host_only,
  output reg        known
);

  localparam [6:0] Register = 7'b1000001;
  localparam [6:0] RegisterBlocks = 7'b1001001;
  localparam [6:0] AllRows = 7'b0100001;
  localparam [6:0] OneRow = 7'b0010001;
  localparam [6:0] Barrier = 7'b0001001;
  localparam [6:0] Any = 7'b0000001;
  localparam [6:0] HostOnly = 7'b0000011;

  reg [6:0] kind;

  always @* begin
    case (op)
      5'd0:    {command, kind} = {5'd16, Register};        // WR_GB: WRGB
      5'd1:    {command, kind} = {5'd19, Register};        // WR_BIAS: WRMAC16
      5'd2:    {command, kind} = {5'd17, RegisterBlocks};  // RD_MAC: RDMAC16
      5'd3:    {command, kind} = {5'd18, RegisterBlocks};  // RD_AF: RDAF16
      5'd4:    {command, kind} = {5'd11, AllRows};         // MAC_ABK: MAC16
      5'd5:    {command, kind} = {5'd13, AllRows};         // EWMUL: EWMUL16
      5'd6:    {command, kind} = {5'd12, AllRows};         // AF: AF16
      5'd7:    {command, kind} = {5'd20, AllRows};         // WR_ABK: WRA16
      5'd8:    {command, kind} = {5'd10, OneRow};          // MAC_SBK: MAC
      5'd9:    {command, kind} = {5'd14, OneRow};          // COPY_BKGB: RDCP
      5'd10:   {command, kind} = {5'd15, OneRow};          // COPY_GBBK: WRCP
      5'd11:   {command, kind} = {5'd8, OneRow};           // WR_SBK: WR
      5'd12:   {command, kind} = {5'd6, OneRow};           // RD_SBK: RD
      5'd13:   {command, kind} = {5'd6, OneRow};           // RD_MEM: RD
      5'd14:   {command, kind} = {5'd8, OneRow};           // WR_MEM: WR
      5'd15:   {command, kind} = {5'd24, Barrier};         // SYNC
      5'd16:   {command, kind} = {5'd25, Any};             // EOC
      5'd17:   {command, kind} = {5'd31, HostOnly};        // W_CFR
      5'd18:   {command, kind} = {5'd31, HostOnly};        // R_GPR
      5'd19:   {command, kind} = {5'd31, HostOnly};        // W_GPR
      5'd20:   {command, kind} = {5'd31, HostOnly};        // EWADD
      default: {command, kind} = {5'd31, 7'd0};
    endcase
    {register_mode, all_rows, one_row, blocks} = kind[6:3];
    host_only = kind[1];
    known = kind[0];
  end

endmodule

`default_nettype wire
