// Products of tall matrices with small ones: rows of an image times a 1x1 convolution.
#pragma once

#include "vector.h"

// Calls body(inner) with the number itself, or, for the usual ones, with a constant.
template <class Body>
inline void with_constant(long inner, Body&& body) {
  if (inner == 16) return body(std::integral_constant<long, 16>());
  if (inner == 32) return body(std::integral_constant<long, 32>());
  if (inner == 64) return body(std::integral_constant<long, 64>());
  body(inner);
}

template <class T, int R, int B, class Inner>
inline void product_tile(const T* a, const T* w, Inner inner, long outer, T* y) {
  constexpr int L = Lanes<T>::count;
  Vec<T> sum[R][B];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int b = 0; b < B; ++b) sum[r][b] = Vec<T>{};
  for (long k = 0; k < inner; ++k) {
    Vec<T> row[B];
    UNROLL for (int b = 0; b < B; ++b) row[b] = load(w + k * outer + b * L);
    UNROLL for (int r = 0; r < R; ++r)
      UNROLL for (int b = 0; b < B; ++b) sum[r][b] += a[r * inner + k] * row[b];
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int b = 0; b < B; ++b) store(y + r * outer + b * L, sum[r][b]);
}

// y (rows, outer) = a (rows, inner) * w (inner, outer); inner and outer are multiples of the lanes.
template <class T>
void product(const T* a, const T* w, long rows, long inner, long outer, T* y) {
  constexpr int L = Lanes<T>::count;
  with_constant(inner, [&](auto known) {
    long column = 0;
    for (; column + 2 * L <= outer; column += 2 * L)
      tiles<kPairs>(rows, [&](long r, auto size) {
        product_tile<T, size, 2>(a + r * known, w + column, known, outer, y + r * outer + column);
      });
    if (column < outer)
      tiles<kSingles>(rows, [&](long r, auto size) {
        product_tile<T, size, 1>(a + r * known, w + column, known, outer, y + r * outer + column);
      });
  });
}

template <class T, int K, int B, class Inner>
inline void outer_tile(const T* a, const T* d, long rows, Inner inner, long outer, T* sum) {
  constexpr int L = Lanes<T>::count;
  Vec<T> total[K][B];
  UNROLL for (int k = 0; k < K; ++k)
    UNROLL for (int b = 0; b < B; ++b) total[k][b] = load(sum + k * outer + b * L);
  for (long r = 0; r < rows; ++r) {
    Vec<T> row[B];
    UNROLL for (int b = 0; b < B; ++b) row[b] = load(d + r * outer + b * L);
    UNROLL for (int k = 0; k < K; ++k)
      UNROLL for (int b = 0; b < B; ++b) total[k][b] += a[r * inner + k] * row[b];
  }
  UNROLL for (int k = 0; k < K; ++k)
    UNROLL for (int b = 0; b < B; ++b) store(sum + k * outer + b * L, total[k][b]);
}

// sum (inner, outer) += a (rows, inner) transposed * d (rows, outer).
template <class T>
void add_outer(const T* a, const T* d, long rows, long inner, long outer, T* sum) {
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
