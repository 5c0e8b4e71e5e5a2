"""From a checkpoint to a bundle that serving loads."""
