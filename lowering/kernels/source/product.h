// Products of tall matrices with small ones, rows of a picture times a 1x1 convolution.
#pragma once

#include <type_traits>

#include "vector.h"

template <class T, int R, int B>
inline void product_tile(const T* a, const T* w, long inner, long outer, T* y) {
  constexpr int L = Lanes<T>::count;
  Vec<T> sum[R][B] = {};
  for (long k = 0; k < inner; ++k) {
    Vec<T> row[B];
    for (int b = 0; b < B; ++b) row[b] = load(w + k * outer + b * L);
    for (int r = 0; r < R; ++r)
      for (int b = 0; b < B; ++b) sum[r][b] += a[r * inner + k] * row[b];
  }
  for (int r = 0; r < R; ++r)
    for (int b = 0; b < B; ++b) store(y + r * outer + b * L, sum[r][b]);
}

// y (rows, outer) = a (rows, inner) * w (inner, outer); inner and outer are multiples of the lanes.
template <class T>
void product(const T* a, const T* w, long rows, long inner, long outer, T* y) {
  constexpr int L = Lanes<T>::count;
  long column = 0;
  for (; column + 2 * L <= outer; column += 2 * L)
    tiles<8>(rows, [&](long r, auto size) {
      product_tile<T, size, 2>(a + r * inner, w + column, inner, outer, y + r * outer + column);
    });
  if (column < outer)
    tiles<16>(rows, [&](long r, auto size) {
      product_tile<T, size, 1>(a + r * inner, w + column, inner, outer, y + r * outer + column);
    });
}

template <class T, int K, int B>
inline void outer_tile(const T* a, const T* d, long rows, long inner, long outer, T* sum) {
  constexpr int L = Lanes<T>::count;
  Vec<T> total[K][B];
  for (int k = 0; k < K; ++k)
    for (int b = 0; b < B; ++b) total[k][b] = load(sum + k * outer + b * L);
  for (long r = 0; r < rows; ++r) {
    Vec<T> row[B];
    for (int b = 0; b < B; ++b) row[b] = load(d + r * outer + b * L);
    for (int k = 0; k < K; ++k)
      for (int b = 0; b < B; ++b) total[k][b] += a[r * inner + k] * row[b];
  }
  for (int k = 0; k < K; ++k)
    for (int b = 0; b < B; ++b) store(sum + k * outer + b * L, total[k][b]);
}

// sum (inner, outer) += a (rows, inner) transposed * d (rows, outer).
template <class T>
void add_outer(const T* a, const T* d, long rows, long inner, long outer, T* sum) {
  constexpr int L = Lanes<T>::count;
  long column = 0;
  for (; column + 2 * L <= outer; column += 2 * L)
    tiles<8>(inner, [&](long k, auto size) {
      outer_tile<T, size, 2>(a + k, d + column, rows, inner, outer, sum + k * outer + column);
    });
  if (column < outer)
    tiles<16>(inner, [&](long k, auto size) {
      outer_tile<T, size, 1>(a + k, d + column, rows, inner, outer, sum + k * outer + column);
    });
}
