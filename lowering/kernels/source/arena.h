// Scratch memory that is kept between calls: fresh pages cost more than the arithmetic.
#pragma once

#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

class Arena {
 public:
  // `count` values, aligned to a cache line; they live until the next reset.
  template <class T>
  T* take(long count) {
    const size_t bytes = (size_t(count) * sizeof(T) + 255) / 256 * 256;
    if (blocks_.empty() || used_ + bytes > blocks_.back().bytes) grow(bytes);
    char* start = blocks_.back().start + used_;
    used_ += bytes;
    return reinterpret_cast<T*>(start);
  }

  // Frees everything taken; a call that needed several blocks leaves one that holds them all.
  void reset() {
    size_t total = 0;
    for (const Block& block : blocks_) total += block.bytes;
    if (blocks_.size() > 1) release(), grow(total);
    used_ = 0;
  }

  void release() {
    for (const Block& block : blocks_) std::free(block.start);
    blocks_.clear();
    used_ = 0;
  }

  size_t bytes() const {
    size_t total = 0;
    for (const Block& block : blocks_) total += block.bytes;
    return total;
  }

 private:
  struct Block {
    char* start;
    size_t bytes;
  };

  void grow(size_t bytes) {
    constexpr size_t kPage = size_t(2) << 20;
    bytes = (bytes + kPage - 1) / kPage * kPage;
    void* start = nullptr;
    if (posix_memalign(&start, kPage, bytes)) std::abort();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    madvise(start, bytes, MADV_HUGEPAGE);
#endif
    blocks_.push_back({static_cast<char*>(start), bytes});
    used_ = 0;
  }

  std::vector<Block> blocks_;
  size_t used_ = 0;
};
