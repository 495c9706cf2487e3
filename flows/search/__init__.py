"""Search over parameters: spaces, samplers, pruning and pictures of evolutionary sweeps."""
