// Vectors as wide as the processor has them, through the compiler's own vector types.
#pragma once

#include <cmath>
#include <type_traits>

// Before a loop over an array of vectors: unrolled early, the array lives in registers.
#define UNROLL _Pragma("GCC unroll 32")

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// Vector registers. What a tile sums up, its factors and one value are to fit into them.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif
constexpr int kPairs = kRegisters == 32 ? 8 : 6;      // rows of a tile of two vectors
constexpr int kSingles = kRegisters == 32 ? 16 : 12;  // rows of a tile of one vector

template <class T>
struct Lanes {
  static constexpr int count = kVectorBytes / int(sizeof(T));
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef T Loose __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};

template <class T>
using Vec = typename Lanes<T>::Vector;

template <class T>
inline Vec<T> load(const T* from) {
  return *reinterpret_cast<const typename Lanes<T>::Loose*>(from);
}

template <class T>
inline void store(T* to, Vec<T> value) {
  *reinterpret_cast<typename Lanes<T>::Loose*>(to) = value;
}

// relu that hands NaN on.
template <class T>
inline Vec<T> relu(Vec<T> x) {
  const Vec<T> zero = {};
  return x < zero ? zero : x;
}

// Calls body(first, size) for tiles of R, and then of smaller powers of two, that cover [0, count).
template <int R, class Body>
inline void tiles(long count, Body&& body, long first = 0) {
  for (; first + R <= count; first += R) body(first, std::integral_constant<int, R>());
  constexpr int kNext = R > 8 ? 8 : R > 4 ? 4 : R / 2;
  if constexpr (R > 1) tiles<kNext>(count, body, first);
}
