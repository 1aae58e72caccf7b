"""Each kind of model in each format that Keras exports, run without keras_pac."""
