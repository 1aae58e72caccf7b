"""What the demo and the program `joint_upsampling` share: inputs, methods, errors and pictures."""
