"""Maps of other programs in our operations: singer-sdk's stream maps and flattening, pipelinewise-transform-field."""
