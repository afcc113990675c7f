"""The model kit: LSTM kernels, optimizers and what else the model plugins share."""
