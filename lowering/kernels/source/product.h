// Products of tall matrices with small ones: rows of an image times a 1x1 convolution.
#pragma once

#include "vector.h"
#include "walks.h"

// Calls body(inner) with the number itself, or, for the usual ones, with a constant.
template <class Body>
inline void with_constant(long inner, Body&& body) {
  if (inner == 16) return body(std::integral_constant<long, 16>());
  if (inner == 32) return body(std::integral_constant<long, 32>());
  if (inner == 64) return body(std::integral_constant<long, 64>());
  body(inner);
}

// One tap, whose offset is 0; the compiler knows both.
struct Here {
  static constexpr int count = 1;
  static constexpr long offset[1] = {0};
};

template <class T, int R, int B, class Taps, class Inner>
inline void product_tile(const T* a, const Taps& taps, const T* w, Inner inner, long outer, T* y) {
  constexpr int L = Lanes<T>::count;
  Vec<T> sum[R][B];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int b = 0; b < B; ++b) sum[r][b] = Vec<T>{};
  for (int i = 0; i < taps.count; ++i, w += inner * outer) {
    const T* from = a + taps.offset[i];
    for (long k = 0; k < inner; ++k) {
      Vec<T> row[B];
      UNROLL for (int b = 0; b < B; ++b) row[b] = load(w + k * outer + b * L);
      UNROLL for (int r = 0; r < R; ++r)
        UNROLL for (int b = 0; b < B; ++b) sum[r][b] += from[r * inner + k] * row[b];
    }
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int b = 0; b < B; ++b) store(y + r * outer + b * L, sum[r][b]);
}

// y (rows, outer) = sum over the taps of a (rows, inner), from the tap's offset on, times the tap's
// w (inner, outer); inner and outer are multiples of the lanes.
template <class T, class Taps>
void product(const T* a, const Taps& taps, const T* w, long rows, long inner, long outer, T* y) {
  constexpr int L = Lanes<T>::count;
  with_constant(inner, [&](auto known) {
    long column = 0;
    for (; column + 2 * L <= outer; column += 2 * L)
      tiles<kPairs>(rows, [&](long r, auto size) {
        product_tile<T, size, 2>(a + r * known, taps, w + column, known, outer,
                                 y + r * outer + column);
      });
    if (column < outer)
      tiles<kSingles>(rows, [&](long r, auto size) {
        product_tile<T, size, 1>(a + r * known, taps, w + column, known, outer,
                                 y + r * outer + column);
      });
  });
}

// A single row.
struct Row {
  static constexpr long count = 1, x = 0, d = 0;
  long columns;
};

template <class T, int K, int B, class Rows>
inline void outer_tile(const T* a, const T* d, Rows rows, long inner, long outer, T* sum) {
  constexpr int L = Lanes<T>::count;
  Vec<T> total[K][B];
  UNROLL for (int k = 0; k < K; ++k)
    UNROLL for (int b = 0; b < B; ++b) total[k][b] = load(sum + k * outer + b * L);
  for (long y = 0; y < rows.count; ++y, a += rows.x, d += rows.d)
    for (long r = 0; r < rows.columns; ++r) {
      Vec<T> row[B];
      UNROLL for (int b = 0; b < B; ++b) row[b] = load(d + r * outer + b * L);
      UNROLL for (int k = 0; k < K; ++k)
        UNROLL for (int b = 0; b < B; ++b) total[k][b] += a[r * inner + k] * row[b];
    }
  UNROLL for (int k = 0; k < K; ++k)
    UNROLL for (int b = 0; b < B; ++b) store(sum + k * outer + b * L, total[k][b]);
}

// sum (inner, outer) += a transposed * d, over all rows of a (columns, inner) and d (columns,
// outer).
template <class T, class Rows>
void add_outer(const T* a, const T* d, Rows rows, long inner, long outer, T* sum) {
  constexpr int L = Lanes<T>::count;
  long column = 0;
  for (; column + 2 * L <= outer; column += 2 * L)
    tiles<kPairs>(inner, [&](long k, auto size) {
      outer_tile<T, size, 2>(a + k, d + column, rows, inner, outer, sum + k * outer + column);
    });
  if (column < outer)
    tiles<kSingles>(inner, [&](long k, auto size) {
      outer_tile<T, size, 1>(a + k, d + column, rows, inner, outer, sum + k * outer + column);
    });
}
