// Windows over a padded image: every tap is an offset, so stride and dilation need no code here.
#pragma once

#include <limits>

#include "walks.h"
#include "vector.h"

template <class T, int R, class Step>
inline void weighted_tile(const T* x, Taps taps, const T* w, Step step, T* out) {
  Vec<T> sum[R];
  UNROLL for (int r = 0; r < R; ++r) sum[r] = Vec<T>{};
  for (int i = 0; i < taps.count; ++i) {
    const Vec<T> weight = load(w + taps.index[i] * step);
    const T* from = x + taps.offset[i];
    UNROLL for (int r = 0; r < R; ++r) sum[r] += load(from + r * step) * weight;
  }
  UNROLL for (int r = 0; r < R; ++r) store(out + r * step, sum[r]);
}

// The same for taps in runs of K, D columns apart: a value is read once for all taps of a run.
template <class T, int R, int K, int D>
inline void run_tile(const T* x, Taps taps, const T* w, long step, T* out) {
  constexpr int M = R + (K - 1) * D, P = 2, H = (M + P - 1) / P;
  Vec<T> sum[R];
  UNROLL for (int r = 0; r < R; ++r) sum[r] = Vec<T>{};
  for (int i = 0; i < taps.count; i += K) {
    Vec<T> factor[K];
    UNROLL for (int k = 0; k < K; ++k) factor[k] = load(w + taps.index[i + k] * step);
    const T* from[P];
    UNROLL for (int p = 0; p < P; ++p) from[p] = x + taps.offset[i] + p * H * step;
    // Columns far apart in turn: the sums of neighbours wait for each other.
    UNROLL for (int m = 0; m < H; ++m)
      UNROLL for (int p = 0; p < P; ++p) {
        if (m + p * H >= M) continue;
        const Vec<T> value = load(from[p]);
        from[p] += step;
        UNROLL for (int k = 0; k < K; ++k) {
          const int r = m + p * H - k * D;
          if (r >= 0 && r < R) sum[r] += value * factor[k];
        }
      }
  }
  UNROLL for (int r = 0; r < R; ++r, out += step) store(out, sum[r]);
}

template <class T, int K, int D>
inline void run_row(const T* x, Taps taps, const T* w, long columns, long step, T* out) {
  for (long c = 0; c < step; c += Lanes<T>::count)
    tiles<8>(columns, [&](long j, auto size) {
      run_tile<T, size, K, D>(x + j * step + c, taps, w + c, step, out + j * step + c);
    });
}

// out[j] = sum over taps of w[tap] * x[tap + j], for the columns of one row.
template <class T>
void weighted_row(const T* x, Taps taps, const T* w, long columns, long step, T* out) {
  constexpr int L = Lanes<T>::count;
  const int kind = taps.run * 4 + taps.apart;
  if (kind == 3 * 4 + 1) return run_row<T, 3, 1>(x, taps, w, columns, step, out);
  if (kind == 5 * 4 + 1) return run_row<T, 5, 1>(x, taps, w, columns, step, out);
  if (kind == 3 * 4 + 2) return run_row<T, 3, 2>(x, taps, w, columns, step, out);
  if (kind == 5 * 4 + 2) return run_row<T, 5, 2>(x, taps, w, columns, step, out);
  for (long c = 0; c < step; c += L)
    tiles<kSingles>(columns, [&](long j, auto size) {
      const long at = j * step + c;
      if (step == L)
        weighted_tile<T, size>(x + at, taps, w + c, std::integral_constant<long, L>(), out + at);
      else
        weighted_tile<T, size>(x + at, taps, w + c, step, out + at);
    });
}

// K taps over P columns at a time, each with a sum of its own: enough to keep the adders busy.
template <class T, int K, int P, class Step>
inline void correlate_taps(const T* x, const long* offset, const T* d, Rows rows, Step step,
                           T* sum) {
  Vec<T> total[P][K];
  UNROLL for (int p = 0; p < P; ++p)
    UNROLL for (int k = 0; k < K; ++k) total[p][k] = p ? Vec<T>{} : load(sum + k * step);
  for (long y = 0; y < rows.count; ++y, x += rows.x, d += rows.d) {
    long j = 0;
    for (; j + P <= rows.columns; j += P)
      UNROLL for (int p = 0; p < P; ++p) {
        const Vec<T> value = load(d + (j + p) * step);
        UNROLL for (int k = 0; k < K; ++k)
          total[p][k] += load(x + offset[k] + (j + p) * step) * value;
      }
    for (; j < rows.columns; ++j) {
      const Vec<T> value = load(d + j * step);
      UNROLL for (int k = 0; k < K; ++k) total[0][k] += load(x + offset[k] + j * step) * value;
    }
  }
  UNROLL for (int p = 1; p < P; ++p)
    UNROLL for (int k = 0; k < K; ++k) total[0][k] += total[p][k];
  UNROLL for (int k = 0; k < K; ++k) store(sum + k * step, total[0][k]);
}

// sum[tap] += sum over the columns of all rows of d[j] * x[tap + j].
template <class T>
void correlate(const T* x, const long* offset, long taps, const T* d, Rows rows, long step,
               T* sum) {
  constexpr int L = Lanes<T>::count;
  const auto all = [&](auto known) {
    for (long c = 0; c < step; c += L) {
      long k = 0;
      const auto run = [&](auto size, auto parts) {
        for (; k + size <= taps; k += size)
          correlate_taps<T, size, parts>(x + c, offset + k, d + c, rows, known, sum + k * step + c);
      };
      run(std::integral_constant<int, 10>(), std::integral_constant<int, kRegisters / 16>());
      run(std::integral_constant<int, 9>(), std::integral_constant<int, kRegisters / 16>());
      run(std::integral_constant<int, 5>(), std::integral_constant<int, kRegisters / 8>());
      run(std::integral_constant<int, 3>(), std::integral_constant<int, 4>());
      run(std::integral_constant<int, 1>(), std::integral_constant<int, 4>());
    }
  };
  if (step == L)
    all(std::integral_constant<long, L>());
  else
    all(step);
}

template <class T>
inline Vec<T> larger(Vec<T> x, Vec<T> y) {
  return y > x ? y : x;
}

// For taps in runs of K neighbours: the columns' maxima, and then those of K columns.
template <class T, int R, int K>
inline void maximum_tile(const T* x, Taps taps, long step, T* out) {
  constexpr int M = R + K - 1;
  Vec<T> best[M];
  UNROLL for (int m = 0; m < M; ++m) best[m] = load(x + taps.offset[0] + m * step);
  for (int i = K; i < taps.count; i += K)
    UNROLL for (int m = 0; m < M; ++m)
      best[m] = larger<T>(best[m], load(x + taps.offset[i] + m * step));
  UNROLL for (int r = 0; r < R; ++r) {
    Vec<T> value = best[r];
    UNROLL for (int k = 1; k < K; ++k) value = larger<T>(value, best[r + k]);
    store(out + r * step, value);
  }
}

// The maximum, where no value is NaN.
template <class T>
void maximum_row(const T* x, Taps taps, long columns, long step, T* out) {
  constexpr int L = Lanes<T>::count;
  if (taps.run == 3 && taps.apart == 1) {
    for (long c = 0; c < step; c += L)
      tiles<8>(columns, [&](long j, auto size) {
        maximum_tile<T, size, 3>(x + j * step + c, taps, step, out + j * step + c);
      });
    return;
  }
  tiles<4>(columns * step / L, [&](long j, auto size) {
    constexpr int R = size;
    Vec<T> best[R];
    const T* from = x + j * L;
    UNROLL for (int r = 0; r < R; ++r) best[r] = load(from + taps.offset[0] + r * L);
    for (int i = 1; i < taps.count; ++i)
      UNROLL for (int r = 0; r < R; ++r)
        best[r] = larger<T>(best[r], load(from + taps.offset[i] + r * L));
    UNROLL for (int r = 0; r < R; ++r) store(out + (j + r) * L, best[r]);
  });
}

// For taps in runs of K neighbours and values that are not NaN: the first maximum of each run, and
// of those the first.
template <class T, int R, int K>
inline void first_maximum_tile(const T* x, Taps taps, long step, T* out, T* which) {
  constexpr int M = R + K - 1;
  const Vec<T> zero = {};
  Vec<T> best[R], tap[R];
  UNROLL for (int r = 0; r < R; ++r)
    best[r] = zero - std::numeric_limits<T>::infinity(), tap[r] = zero;
  for (int i = 0; i < taps.count; i += K) {
    Vec<T> value[M];
    UNROLL for (int m = 0; m < M; ++m) value[m] = load(x + taps.offset[i] + m * step);
    UNROLL for (int r = 0; r < R; ++r) {
      Vec<T> most = value[r], at = zero + T(taps.index[i]);
      UNROLL for (int k = 1; k < K; ++k) {
        const auto wins = value[r + k] > most;
        most = wins ? value[r + k] : most;
        at = wins ? zero + T(taps.index[i + k]) : at;
      }
      const auto wins = most > best[r];
      best[r] = wins ? most : best[r];
      tap[r] = wins ? at : tap[r];
    }
  }
  UNROLL for (int r = 0; r < R; ++r)
    store(out + r * step, best[r]), store(which + r * step, tap[r]);
}

// The first maximum in tap order and which tap it was; NaN wins and stays. `nan`: if there is any.
template <class T>
void first_maximum_row(const T* x, Taps taps, long columns, long step, bool nan, T* out,
                       T* which) {
  constexpr int L = Lanes<T>::count;
  if (!nan && taps.run == 3 && taps.apart == 1) {
    for (long c = 0; c < step; c += L)
      tiles<4>(columns, [&](long j, auto size) {
        const long at = j * step + c;
        first_maximum_tile<T, size, 3>(x + at, taps, step, out + at, which + at);
      });
    return;
  }
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
    store(which + at, tap);
  }
}

// For taps in runs of K neighbours: a gradient is read once for all taps of a run.
template <class T, int R, int K>
inline void chosen_tile(const T* d, const T* which, Taps taps, long step, T* out) {
  constexpr int M = R + K - 1;
  const Vec<T> zero = {};
  Vec<T> sum[R];
  UNROLL for (int r = 0; r < R; ++r) sum[r] = zero;
  for (int i = 0; i < taps.count; i += K)
    UNROLL for (int m = 0; m < M; ++m) {
      const Vec<T> value = load(d + taps.offset[i] + m * step);
      const Vec<T> tap = load(which + taps.offset[i] + m * step);
      UNROLL for (int k = 0; k < K; ++k)
        if (m >= k && m - k < R)
          sum[m - k] += tap == zero + T(taps.index[i + k]) ? value : zero;
    }
  UNROLL for (int r = 0; r < R; ++r) store(out + r * step, sum[r]);
}

// out[j] = sum of d over the windows whose maximum was at column j.
template <class T>
void chosen_row(const T* d, const T* which, Taps taps, long columns, long step, T* out) {
  constexpr int L = Lanes<T>::count;
  if (taps.run == 3 && taps.apart == 1) {
    for (long c = 0; c < step; c += L)
      tiles<8>(columns, [&](long j, auto size) {
        const long at = j * step + c;
        chosen_tile<T, size, 3>(d + at, which + at, taps, step, out + at);
      });
    return;
  }
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
