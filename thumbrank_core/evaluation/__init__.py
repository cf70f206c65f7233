"""How good a model is: reference models, intervals over channels, slices, report, cards and the gate."""
