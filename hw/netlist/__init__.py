"""Scalar netlists: the arithmetic of one token, pipelined by a delay model."""
