// Windows over a padded picture: every tap is an offset, so stride and dilation need no code here.
#pragma once

#include <limits>
#include <type_traits>

#include "vector.h"

// The taps of a window: offset[i] from the first value under output column 0, weights
// w + index[i] * step. Columns are `step` values apart (all channels, or one packed vector).
struct Taps {
  const long* offset;
  const int* index;
  int count;
};

template <class T, int R>
inline void weighted_tile(const T* x, Taps taps, const T* w, long step, T* out) {
  Vec<T> sum[R] = {};
  for (int i = 0; i < taps.count; ++i) {
    const Vec<T> weight = load(w + taps.index[i] * step);
    const T* from = x + taps.offset[i];
    for (int r = 0; r < R; ++r) sum[r] += load(from + r * step) * weight;
  }
  for (int r = 0; r < R; ++r) store(out + r * step, sum[r]);
}

// out[j] = sum over taps of w[tap] * x[tap + j], for the columns of one row.
template <class T>
void weighted_row(const T* x, Taps taps, const T* w, long columns, long step, T* out) {
  constexpr int L = Lanes<T>::count;
  for (long c = 0; c < step; c += L)
    tiles<16>(columns, [&](long j, auto size) {
      const long at = j * step + c;
      if (step == L)
        weighted_tile<T, size>(x + at, taps, w + c, L, out + at);
      else
        weighted_tile<T, size>(x + at, taps, w + c, step, out + at);
    });
}

template <class T, int K>
inline void correlate_taps(const T* x, const long* offset, const T* d, long columns, long step,
                           T* sum) {
  Vec<T> even[K], odd[K] = {};
  for (int k = 0; k < K; ++k) even[k] = load(sum + k * step);
  long j = 0;
  for (; j + 2 <= columns; j += 2) {
    const Vec<T> first = load(d + j * step), second = load(d + (j + 1) * step);
    for (int k = 0; k < K; ++k) even[k] += load(x + offset[k] + j * step) * first;
    for (int k = 0; k < K; ++k) odd[k] += load(x + offset[k] + (j + 1) * step) * second;
  }
  if (j < columns) {
    const Vec<T> first = load(d + j * step);
    for (int k = 0; k < K; ++k) even[k] += load(x + offset[k] + j * step) * first;
  }
  for (int k = 0; k < K; ++k) store(sum + k * step, even[k] + odd[k]);
}

// sum[tap] += sum over the columns of one row of d[j] * x[tap + j].
template <class T>
void correlate_row(const T* x, const long* offset, int taps, const T* d, long columns, long step,
                   T* sum) {
  constexpr int L = Lanes<T>::count;
  for (long c = 0; c < step; c += L) {
    int k = 0;
    for (; k + 5 <= taps; k += 5)
      correlate_taps<T, 5>(x + c, offset + k, d + c, columns, step, sum + k * step + c);
    for (; k + 3 <= taps; k += 3)
      correlate_taps<T, 3>(x + c, offset + k, d + c, columns, step, sum + k * step + c);
    for (; k < taps; ++k)
      correlate_taps<T, 1>(x + c, offset + k, d + c, columns, step, sum + k * step + c);
  }
}

// The first maximum in tap order and, where asked for, which tap it was; NaN wins and stays.
template <class T>
void maximum_row(const T* x, Taps taps, long columns, long step, T* out, T* which) {
  constexpr int L = Lanes<T>::count;
  for (long at = 0; at < columns * step; at += L) {
    const Vec<T> zero = {};
    Vec<T> best = zero - std::numeric_limits<T>::infinity(), tap = zero;
    for (int i = 0; i < taps.count; ++i) {
      const Vec<T> value = load(x + at + taps.offset[i]);
      const auto wins = (value > best) | (value != value);
      best = wins ? value : best;
      tap = wins ? zero + T(taps.index[i]) : tap;
    }
    store(out + at, best);
    if (which) store(which + at, tap);
  }
}

// out[j] = sum of d over the windows whose maximum was at column j.
template <class T>
void chosen_row(const T* d, const T* which, Taps taps, long columns, long step, T* out) {
  constexpr int L = Lanes<T>::count;
  for (long at = 0; at < columns * step; at += L) {
    const Vec<T> zero = {};
    Vec<T> sum = zero;
    for (int i = 0; i < taps.count; ++i) {
      const Vec<T> value = load(d + at + taps.offset[i]);
      sum += load(which + at + taps.offset[i]) == zero + T(taps.index[i]) ? value : zero;
    }
    store(out + at, sum);
  }
}
