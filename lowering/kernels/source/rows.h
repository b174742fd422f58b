// Elementwise work on runs of columns: activations, sums, mixtures.
#pragma once

#include <cstring>

#include "vector.h"

// A norm's constants, each `step` long: normalised = y * inverse + shift = (y - mean) * inverse.
template <class T>
struct Scale {
  T *mean = nullptr, *inverse = nullptr, *shift = nullptr;
};

// to = relu(scale(from)), each of the two where asked for.
template <class T>
void activate(const T* from, T* to, long size, long step, const Scale<T>* scale, bool rectify) {
  constexpr int L = Lanes<T>::count;
  if (!scale && !rectify) {
    std::memcpy(to, from, size * sizeof(T));
    return;
  }
  for (long c = 0; c < step; c += L) {
    const Vec<T> factor = scale ? load(scale->inverse + c) : Vec<T>{} + T(1);
    const Vec<T> shift = scale ? load(scale->shift + c) : Vec<T>{};
    if (scale && rectify)
      for (long at = c; at < size; at += step)
        store(to + at, relu<T>(load(from + at) * factor + shift));
    else if (scale)
      for (long at = c; at < size; at += step) store(to + at, load(from + at) * factor + shift);
    else
      for (long at = c; at < size; at += step) store(to + at, relu<T>(load(from + at)));
  }
}

// Adds per channel the sums of two terms of every value: body(offset) makes the pair.
template <class T, class Body>
inline void add_pairs(long size, long step, long c, double* first, double* second, Body&& body) {
  constexpr int L = Lanes<T>::count;
  constexpr int kChains = 4;
  Vec<T> one[kChains], two[kChains];
  UNROLL for (int i = 0; i < kChains; ++i) one[i] = two[i] = Vec<T>{};
  long at = c;
  for (; at + (kChains - 1) * step < size; at += kChains * step)
    UNROLL for (int i = 0; i < kChains; ++i) body(at + i * step, one[i], two[i]);
  for (; at < size; at += step) body(at, one[0], two[0]);
  const Vec<T> sum = (one[0] + one[1]) + (one[2] + one[3]);
  const Vec<T> other = (two[0] + two[1]) + (two[2] + two[3]);
  for (int i = 0; i < L; ++i) first[c + i] += double(sum[i]), second[c + i] += double(other[i]);
}

// Sums of y - shift and of its square, for each channel.
template <class T>
void add_moments(const T* y, const T* shift, long size, long step, double* sum, double* square) {
  for (long c = 0; c < step; c += Lanes<T>::count) {
    const Vec<T> origin = load(shift + c);
    add_pairs<T>(size, step, c, sum, square, [&](long at, Vec<T>& one, Vec<T>& two) {
      const Vec<T> away = load(y + at) - origin;
      one += away;
      two += away * away;
    });
  }
}

// Sums of g and of g * normalised y, for each channel; y itself where there is no scale.
template <class T>
void add_products(const T* g, const T* y, const Scale<T>& scale, long size, long step, double* sum,
                  double* product) {
  for (long c = 0; c < step; c += Lanes<T>::count) {
    const Vec<T> mean = load(scale.mean + c), inverse = load(scale.inverse + c);
    add_pairs<T>(size, step, c, sum, product, [&](long at, Vec<T>& one, Vec<T>& two) {
      const Vec<T> gradient = load(g + at);
      one += gradient;
      two += gradient * ((load(y + at) - mean) * inverse);
    });
  }
}

// to = bias + sum over the sources of factor * source, for `size` values.
template <class T>
void mix_rows(const T* const* sources, const T* const* factors, int count, const T* bias, long size,
              long step, T* to) {
  for (long c = 0; c < step; c += Lanes<T>::count)
    tiles<8>(size / step, [&](long j, auto tile) {
      constexpr int R = tile;
      const long at = j * step + c;
      Vec<T> sum[R];
      UNROLL for (int r = 0; r < R; ++r) sum[r] = load(bias + c);
      for (int i = 0; i < count; ++i) {
        const Vec<T> factor = load(factors[i] + c);
        UNROLL for (int r = 0; r < R; ++r) sum[r] += load(sources[i] + at + r * step) * factor;
      }
      UNROLL for (int r = 0; r < R; ++r) store(to + at + r * step, sum[r]);
    });
}

// The gradient before a norm: to = a * g + b * (y - mean) + d.
template <class T>
struct Slope {
  T *a, *b, *d;
};

template <class T>
void before_norm(const T* g, const T* y, const Scale<T>& scale, const Slope<T>& slope, long size,
                 long step, T* to) {
  for (long c = 0; c < step; c += Lanes<T>::count) {
    const Vec<T> a = load(slope.a + c), b = load(slope.b + c), d = load(slope.d + c);
    const Vec<T> mean = load(scale.mean + c);
    for (long at = c; at < size; at += step)
      store(to + at, a * load(g + at) + (b * (load(y + at) - mean) + d));
  }
}

// to += g, or, where x is given, g where x is above zero (NaN hands it on, as torch does).
template <class T>
void add_masked(const T* g, const T* x, long size, T* to) {
  const Vec<T> zero = {};
  for (long at = 0; at < size; at += Lanes<T>::count) {
    const Vec<T> gradient = load(g + at);
    store(to + at, load(to + at) + (x ? (load(x + at) <= zero ? zero : gradient) : gradient));
  }
}

// to = g where scale(y) is above zero.
template <class T>
void mask_scaled(const T* g, const T* y, const Scale<T>& scale, long size, long step, T* to) {
  const Vec<T> zero = {};
  for (long c = 0; c < step; c += Lanes<T>::count) {
    const Vec<T> factor = load(scale.inverse + c), shift = load(scale.shift + c);
    for (long at = c; at < size; at += step)
      store(to + at, load(y + at) * factor + shift <= zero ? zero : load(g + at));
  }
}

// Adds `count` pixels of the wider stride to those of the narrower.
template <class T>
void add_narrow(const T* from, long from_stride, T* to, long to_stride, long count) {
  for (long i = 0; i < count; ++i)
    for (long c = 0; c < to_stride; ++c) to[i * to_stride + c] += from[i * from_stride + c];
}

// Whether any of `size` values is NaN.
template <class T>
bool has_nan(const T* x, long size) {
  Vec<T> sum = {};
  for (long at = 0; at < size; at += Lanes<T>::count) {
    const Vec<T> value = load(x + at);
    sum = value != value ? value : sum;
  }
  for (int i = 0; i < Lanes<T>::count; ++i)
    if (sum[i] != sum[i]) return true;
  return false;
}

// Copies `count` pixels between channel strides; what a wider pixel has beyond is zero.
template <class T>
void restride(const T* from, long from_stride, T* to, long to_stride, long count) {
  const long common = from_stride < to_stride ? from_stride : to_stride;
  for (long i = 0; i < count; ++i) {
    std::memcpy(to + i * to_stride, from + i * from_stride, common * sizeof(T));
    for (long c = common; c < to_stride; ++c) to[i * to_stride + c] = T(0);
  }
}
