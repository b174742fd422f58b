"""Texts of a small supernet, before and after the passes that choose what training keeps."""

BEFORE = """
input x: image[2,4,4]
input normal/n1.e0: weights[2]
input normal/n2: weights[2]
stem = tanh(x): image[2,4,4]
c0/pre/relu = relu(stem): image[2,4,4]
c0/pre/conv = conv2d(c0/pre/relu) {out=2, kernel=1}: image[2,4,4]
c0/n1.e0/relu = relu(c0/pre/conv): image[2,4,4] in normal c0
c0/n1.e0/bn = batch_norm(c0/n1.e0/relu) {affine=false}: image[2,4,4] in normal c0
c0/n1.e0 = mix(normal/n1.e0, c0/pre/conv, c0/n1.e0/bn) {options=[0,1]}: image[2,4,4] in normal c0
c0/n1 = add(c0/n1.e0, c0/pre/conv): image[2,4,4] in normal c0
c0/n2.e1/relu = relu(c0/n1): image[2,4,4] in normal c0
c0/n2 = mix(normal/n2, c0/n1, c0/n2.e1/relu) {options=[0,1]}: image[2,4,4] in normal c0
c0/out = concat(c0/n1, c0/n2): image[4,4,4] in normal c0
c1/pre/conv = conv2d(c0/out) {out=2, kernel=1}: image[2,4,4]
c1/n1.e0/bn = batch_norm(c1/pre/conv) {affine=false}: image[2,4,4] in normal c1
c1/n1 = mix(normal/n1.e0, c1/pre/conv, c1/n1.e0/bn) {options=[0,1]}: image[2,4,4] in normal c1
c1/out = tanh(c1/n1): image[2,4,4] in normal c1
pool = global_pool(c1/out): image[2,1,1]
output pool
"""

CELLS = r"""
input x: image[2,4,4]
input normal/n1.e0: weights[2]
input normal/n2: weights[2]
body body1
  meta cell "normal"
  input x1: image[2,4,4]
  input normal/n1.e0: weights[2]
  input normal/n2: weights[2]
  n1.e0/relu = relu(x1): image[2,4,4]
  n1.e0/bn = batch_norm(n1.e0/relu) {affine=false}: image[2,4,4]
  n1.e0 = mix(normal/n1.e0, x1, n1.e0/bn) {options=[0,1]}: image[2,4,4]
  n1 = add(n1.e0, x1): image[2,4,4]
  n2.e1/relu = relu(n1): image[2,4,4]
  n2 = mix(normal/n2, n1, n2.e1/relu) {options=[0,1]}: image[2,4,4]
  out = concat(n1, n2): image[4,4,4]
  output out
end
body body2
  meta cell "normal"
  input x1: image[4,4,4]
  input normal/n1.e0: weights[2]
  pre/conv = conv2d(x1) {out=2, kernel=1}: image[2,4,4]
  n1.e0/bn = batch_norm(pre/conv) {affine=false}: image[2,4,4]
  n1 = mix(normal/n1.e0, pre/conv, n1.e0/bn) {options=[0,1]}: image[2,4,4]
  out = tanh(n1): image[2,4,4]
  output out
end
stem = tanh(x): image[2,4,4]
c0/pre/relu = relu(stem): image[2,4,4]
c0/pre/conv = conv2d(c0/pre/relu) {out=2, kernel=1}: image[2,4,4]
c0/out = recompute(c0/pre/conv, normal/n1.e0, normal/n2) {body=body1}: image[4,4,4] in normal c0 with n1.e0/bn.running_mean=c0/n1.e0/bn.running_mean[2] constant(0.0) buffer, n1.e0/bn.running_var=c0/n1.e0/bn.running_var[2] constant(1.0) buffer
c1/out = recompute(c0/out, normal/n1.e0) {body=body2}: image[2,4,4] in normal c1 with pre/conv.weight=c1/pre/conv.weight[2,4,1,1] uniform(0.5), n1.e0/bn.running_mean=c1/n1.e0/bn.running_mean[2] constant(0.0) buffer, n1.e0/bn.running_var=c1/n1.e0/bn.running_var[2] constant(1.0) buffer
pool = global_pool(c1/out): image[2,1,1]
output pool
"""  # noqa: E501 (the text form has one node a line)

STATES = r"""
input x: image[2,4,4]
input normal/n1.e0: weights[2]
input normal/n2: weights[2]
body body1
  meta cell "normal"
  input x1: image[2,4,4]
  input normal/n1.e0: weights[2]
  n1.e0/relu = relu(x1): image[2,4,4]
  n1.e0/bn = batch_norm(n1.e0/relu) {affine=false}: image[2,4,4]
  n1.e0 = mix(normal/n1.e0, x1, n1.e0/bn) {options=[0,1]}: image[2,4,4]
  n1 = add(n1.e0, x1): image[2,4,4]
  output n1
end
body body2
  meta cell "normal"
  input x1: image[2,4,4]
  input normal/n2: weights[2]
  n2.e1/relu = relu(x1): image[2,4,4]
  n2 = mix(normal/n2, x1, n2.e1/relu) {options=[0,1]}: image[2,4,4]
  output n2
end
body body3
  meta cell "normal"
  input x1: image[2,4,4]
  input x2: image[2,4,4]
  input normal/n1.e0: weights[2]
  x3 = concat(x1, x2): image[4,4,4]
  pre/conv = conv2d(x3) {out=2, kernel=1}: image[2,4,4]
  n1.e0/bn = batch_norm(pre/conv) {affine=false}: image[2,4,4]
  n1 = mix(normal/n1.e0, pre/conv, n1.e0/bn) {options=[0,1]}: image[2,4,4]
  output n1
end
stem = tanh(x): image[2,4,4]
c0/pre/relu = relu(stem): image[2,4,4]
c0/pre/conv = conv2d(c0/pre/relu) {out=2, kernel=1}: image[2,4,4]
c0/n1 = recompute(c0/pre/conv, normal/n1.e0) {body=body1}: image[2,4,4] in normal c0 with n1.e0/bn.running_mean=c0/n1.e0/bn.running_mean[2] constant(0.0) buffer, n1.e0/bn.running_var=c0/n1.e0/bn.running_var[2] constant(1.0) buffer
c0/n2 = recompute(c0/n1, normal/n2) {body=body2}: image[2,4,4] in normal c0
c1/n1 = recompute(c0/n1, c0/n2, normal/n1.e0) {body=body3}: image[2,4,4] in normal c1 with pre/conv.weight=c1/pre/conv.weight[2,4,1,1] uniform(0.5), n1.e0/bn.running_mean=c1/n1.e0/bn.running_mean[2] constant(0.0) buffer, n1.e0/bn.running_var=c1/n1.e0/bn.running_var[2] constant(1.0) buffer
c1/out = tanh(c1/n1): image[2,4,4] in normal c1
pool = global_pool(c1/out): image[2,1,1]
output pool
"""  # noqa: E501 (the same)
