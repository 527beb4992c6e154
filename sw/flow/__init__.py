"""The flow: steps that are functions of their inputs, and the folder that keeps what they made."""
