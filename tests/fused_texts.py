"""Texts before and after the passes that put one op in the place of several."""

MIXED_SUMS = (
    r"""
    input x: image[4,8,8]
    input normal/n2.e0: weights[4]
    input normal/n2.e1: weights[2]
    input normal/n2: weights[2]
    e0/sep/relu = relu(x): image[4,8,8]
    e0/sep/dw = conv2d(e0/sep/relu) {out=4, kernel=3, groups=4}: image[4,8,8]
    e0/sep/pw = conv2d(e0/sep/dw) {out=4, kernel=1}: image[4,8,8]
    e0/sep/bn = batch_norm(e0/sep/pw) {affine=false}: image[4,8,8]
    e0/pool = max_pool(x) {kernel=3, padding=1}: image[4,8,8]
    e0/norm = batch_norm(e0/pool) {affine=false}: image[4,8,8]
    e0 = mix(normal/n2.e0, x, e0/norm, e0/sep/bn) {options=[1,2,3]}: image[4,8,8]
    y = tanh(x): image[4,8,8]
    e1/conv = conv2d(y) {out=4, kernel=3}: image[4,8,8]
    e1/bn = batch_norm(e1/conv) {affine=false}: image[4,8,8]
    e1 = mix(normal/n2.e1, x, e1/bn) {options=[0,1]}: image[4,8,8]
    n2 = mix(normal/n2, e0, e1) {options=[0,1]}: image[4,8,8]
    pre/conv = conv2d(n2) {out=2, kernel=1}: image[2,8,8]
    pre/bn = batch_norm(pre/conv) {affine=false}: image[2,8,8]
    output pre/bn
    auxiliary e1/conv
    """,
    r"""
    input x: image[4,8,8]
    input normal/n2.e0: weights[4]
    input normal/n2.e1: weights[2]
    input normal/n2: weights[2]
    y = tanh(x): image[4,8,8]
    e1/conv = conv2d(y) {out=4, kernel=3}: image[4,8,8]
    n2 = mixed_sum(x, e1/conv, normal/n2, normal/n2.e0, normal/n2.e1) {terms="[{\"value\": 0, \"products\": [[[2, 0], [3, 1]], [[2, 1], [4, 0]]]}, {\"value\": 0, \"units\": [{\"window\": \"max\", \"kernel\": [3, 3], \"padding\": [1, 1], \"eps\": 1e-05}], \"products\": [[[2, 0], [3, 2]]]}, {\"value\": 0, \"units\": [{\"relu\": true, \"window\": \"depthwise\", \"kernel\": [3, 3], \"padding\": [1, 1], \"product\": 4, \"eps\": 1e-05}], \"products\": [[[2, 0], [3, 3]]]}, {\"value\": 1, \"units\": [{\"eps\": 1e-05}], \"products\": [[[2, 1], [4, 1]]]}]"}: image[4,8,8] with t1u0mean=e0/norm.running_mean[4] constant(0.0) buffer, t1u0var=e0/norm.running_var[4] constant(1.0) buffer, t2u0dw=e0/sep/dw.weight[4,1,3,3] uniform(0.3333333333333333), t2u0pw=e0/sep/pw.weight[4,4,1,1] uniform(0.5), t2u0mean=e0/sep/bn.running_mean[4] constant(0.0) buffer, t2u0var=e0/sep/bn.running_var[4] constant(1.0) buffer, t3u0mean=e1/bn.running_mean[4] constant(0.0) buffer, t3u0var=e1/bn.running_var[4] constant(1.0) buffer
    pre/bn = mixed_sum(n2) {terms="[{\"value\": 0, \"units\": [{\"product\": 2, \"eps\": 1e-05}]}]"}: image[2,8,8] with t0u0pw=pre/conv.weight[2,4,1,1] uniform(0.5), t0u0mean=pre/bn.running_mean[2] constant(0.0) buffer, t0u0var=pre/bn.running_var[2] constant(1.0) buffer
    output pre/bn
    auxiliary e1/conv
    """,
)

SHARE_NORMS = (
    r"""
    input x: image[4,8,8]
    a = batch_norm(x) {affine=false}: image[4,8,8]
    b = batch_norm(x) {affine=false}: image[4,8,8]
    c = batch_norm(x): image[4,8,8]
    d = batch_norm(x) {affine=false, momentum=0.2}: image[4,8,8]
    e = relu(b): image[4,8,8]
    output a
    output b
    output c
    output d
    output e
    """,
    r"""
    input x: image[4,8,8]
    a = batch_norm(x) {affine=false, copies=2}: image[4,8,8] with running_mean=a.running_mean[4] constant(0.0) buffer, running_var=a.running_var[4] constant(1.0) buffer, running_mean2=b.running_mean[4] constant(0.0) buffer, running_var2=b.running_var[4] constant(1.0) buffer
    c = batch_norm(x): image[4,8,8]
    d = batch_norm(x) {affine=false, momentum=0.2}: image[4,8,8]
    e = relu(a): image[4,8,8]
    output a
    output a
    output c
    output d
    output e
    """,
)

HIGHWAY_SUMS = (
    r"""
    input x: vector[5]
    input s: vector[2]
    input cell/n1.e0: weights[3]
    tanh/xw = project(x) {out=4}: vector[4]
    tanh/c = chunk(tanh/xw) {part=0, of=2}: vector[2]
    tanh/gate = sigmoid(tanh/c): vector[2]
    tanh/g = chunk(tanh/xw) {part=1, of=2}: vector[2]
    tanh/f = tanh(tanh/g): vector[2]
    tanh/less = sub(tanh/f, s): vector[2]
    tanh/moved = mul(tanh/gate, tanh/less): vector[2]
    tanh = add(s, tanh/moved): vector[2]
    same/xw = project(x) {out=4}: vector[4] with weight=tanh/xw.weight[5,4] uniform(0.04)
    same/c = chunk(same/xw) {part=0, of=2}: vector[2]
    same/gate = sigmoid(same/c): vector[2]
    same/g = chunk(same/xw) {part=1, of=2}: vector[2]
    same/less = sub(same/g, s): vector[2]
    same/moved = mul(same/gate, same/less): vector[2]
    same = add(s, same/moved): vector[2]
    n1 = mix(cell/n1.e0, tanh, same) {options=[1,2]}: vector[2]
    output n1
    """,
    r"""
    input x: vector[5]
    input s: vector[2]
    input cell/n1.e0: weights[3]
    n1 = highway_sum(s, x, cell/n1.e0) {highways="[{\"state\": 0, \"value\": 1, \"branches\": [{\"function\": \"tanh\", \"products\": [[[2, 1]]]}, {\"products\": [[[2, 2]]]}]}]"}: vector[2] with weight=tanh/xw.weight[5,4] uniform(0.04)
    output n1
    """,
)

HORIZONTAL = (
    r"""
    input x: image[4,8,8]
    a = conv2d(x) {out=2, kernel=3}: image[2,8,8] in cell c0
    b = conv2d(x) {out=3, kernel=3}: image[3,8,8] in cell c0
    c = conv2d(x) {out=3, kernel=1}: image[3,8,8] in cell c0
    d = conv2d(x) {out=2, kernel=3, bias=true}: image[2,8,8] in cell c0
    e = conv2d(x) {out=3, kernel=3}: image[3,8,8] in cell c1
    f = conv2d(x) {out=4, kernel=3, groups=4}: image[4,8,8] in cell c0
    output a
    output b
    output c
    output d
    output e
    output f
    """,
    r"""
    input x: image[4,8,8]
    a+bank = conv_bank(x) {outs=[2,3], kernel=3, padding=1}: image[5,8,8] in cell c0 with weight0=a.weight[2,4,3,3] uniform(0.16666666666666666), weight1=b.weight[3,4,3,3] uniform(0.16666666666666666)
    a = channels(a+bank) {count=2}: image[2,8,8] in cell c0
    b = channels(a+bank) {start=2, count=3}: image[3,8,8] in cell c0
    c = conv2d(x) {out=3, kernel=1}: image[3,8,8] in cell c0
    d = conv2d(x) {out=2, kernel=3, bias=true}: image[2,8,8] in cell c0
    e = conv2d(x) {out=3, kernel=3}: image[3,8,8] in cell c1
    f = conv2d(x) {out=4, kernel=3, groups=4}: image[4,8,8] in cell c0
    output a
    output b
    output c
    output d
    output e
    output f
    """,
)

POINTS = (
    r"""
    input x: image[4,8,8]
    input odd: image[4,7,7]
    shift = crop(x) {top=1, left=1}: image[4,7,7]
    a = conv2d(x) {out=2, kernel=1, stride=2}: image[2,4,4]
    b = conv2d(shift) {out=3, kernel=1, stride=2}: image[3,4,4]
    c = conv2d(odd) {out=2, kernel=1, stride=2}: image[2,4,4]
    less = crop(odd) {top=1, left=1}: image[4,6,6]
    d = conv2d(less) {out=2, kernel=1, stride=2}: image[2,3,3]
    output a
    output b
    output c
    output d
    """,
    r"""
    input x: image[4,8,8]
    input odd: image[4,7,7]
    shift = crop(x) {top=1, left=1}: image[4,7,7]
    a+bank = conv_bank(x) {outs=[2,3], kernel=2, stride=2, rows=[0,1], columns=[0,1]}: image[5,4,4] with weight0=a.weight[2,4,1,1] uniform(0.5), weight1=b.weight[3,4,1,1] uniform(0.5)
    a = channels(a+bank) {count=2}: image[2,4,4]
    b = channels(a+bank) {start=2, count=3}: image[3,4,4]
    c = conv2d(odd) {out=2, kernel=1, stride=2}: image[2,4,4]
    less = crop(odd) {top=1, left=1}: image[4,6,6]
    d = conv2d(less) {out=2, kernel=1, stride=2}: image[2,3,3]
    output a
    output b
    output c
    output d
    """,
)
"""A factorized reduce: convolutions of a value and of what is behind its first row and column."""

LEAN_SUMS = (MIXED_SUMS[1], MIXED_SUMS[1].replace(']"}: image', ']", recompute=true}: image'))
