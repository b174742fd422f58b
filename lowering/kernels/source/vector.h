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

// Calls body(first, size) for tiles of R, R/2, ... 1 that cover [0, count).
template <int R, class Body>
inline void tiles(long count, Body&& body, long first = 0) {
  for (; first + R <= count; first += R) body(first, std::integral_constant<int, R>());
  if constexpr (R > 1) tiles<R / 2>(count, body, first);
}
