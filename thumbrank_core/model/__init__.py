"""The network, its losses, and the bundle that holds it on disk and in other formats."""
