"""Networks that turn an image into features at strides 8, 16, 32."""
