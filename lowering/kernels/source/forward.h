// The forward call: units in stages (a batch norm needs every image), then the weighted sum.
#pragma once

#include "engine.h"

template <class T>
class Forward : Engine<T> {
 public:
  // `add`: the sum is added to what `out` holds.
  Forward(const Plan& plan, const Arrays<T>& arrays, Arena& arena, int threads, T* out, bool add);
  void run();

 private:
  using Base = Engine<T>;
  static constexpr int L = Base::L;
  // Per norm: each image's mean and sum of squares around it, for each channel of a step.
  std::vector<double*> means_, squares_;
  std::vector<T*> factors_;
  T *bias_, *narrow_, *out_;
  bool add_;

  void stage(Scratch<T>& own, size_t u, int thread);
  void moments(Scratch<T>& own, size_t t, size_t u, long image);
  void finish_norm(Scratch<T>& own, const Unit& unit, bool write);
  void finish_factors(Scratch<T>& own);
  void mix(int thread);
};

template <class T>
Forward<T>::Forward(const Plan& plan, const Arrays<T>& arrays, Arena& arena, int threads, T* out,
                    bool add)
    : Base(plan, arrays, arena, threads), narrow_(out), add_(add) {
  for (const Unit* unit : plan.norms) {
    const long size = plan.images * unit->out.step(L);
    means_.push_back(arena.take<double>(size)), squares_.push_back(arena.take<double>(size));
  }
  const long step = plan.out.step(L);
  for (size_t t = 0; t < plan.terms.size(); ++t) factors_.push_back(arena.take<T>(step));
  bias_ = arena.take<T>(step);
  const bool wide = plan.out.channels != plan.out.stride;
  out_ = wide ? arena.take<T>(plan.images * plan.out.size()) : out;
}

template <class T>
void Forward<T>::run() {
#pragma omp parallel num_threads(this->threads_)
  {
    const int thread = omp_get_thread_num();
    Scratch<T>& own = this->scratch_[thread];
    this->prepare(thread);
#pragma omp barrier
    for (size_t u = 0; u < this->plan_.depth; ++u) {
      stage(own, u, thread);
#pragma omp barrier
      for (const Term& term : this->plan_.terms)
        if (u < term.units.size() && term.units[u].norm)
          finish_norm(own, term.units[u], thread == 0);
    }
    if (thread == 0) finish_factors(own);
#pragma omp barrier
    mix(thread);
  }
}

template <class T>
void Forward<T>::stage(Scratch<T>& own, size_t u, int thread) {
  for (long image = this->first(thread); image < this->first(thread + 1); ++image)
    for (size_t t = 0; t < this->plan_.terms.size(); ++t)
      if (u < this->plan_.terms[t].units.size()) moments(own, t, u, image);
}

// One unit on one image, and the moments of what it makes.
template <class T>
void Forward<T>::moments(Scratch<T>& own, size_t t, size_t u, long image) {
  const Unit& unit = this->plan_.terms[t].units[u];
  if (!unit.norm) return this->unit_forward(own, t, u, image, [](long, const T*, long) {});
  const long step = unit.out.step(L);
  double* mean = means_[unit.norm_index] + image * step;
  double* square = squares_[unit.norm_index] + image * step;
  std::fill(mean, mean + step, 0.0), std::fill(square, square + step, 0.0);
  // Sums around the first pixel: around zero they would lose what a large mean takes.
  const T* origin = this->outputs_[t][u] + image * unit.out.size();
  this->unit_forward(own, t, u, image, [&](long, const T* y, long size) {
    add_moments(y, origin, size, step, mean, square);
  });
  const double count = double(unit.out.size() / step);
  for (long c = 0; c < step; ++c) {
    square[c] -= mean[c] * mean[c] / count;
    mean[c] = double(origin[c]) + mean[c] / count;
  }
}

// The batch's mean and biased variance from those of images and packed pixels, all of one size.
template <class T>
void Forward<T>::finish_norm(Scratch<T>& own, const Unit& unit, bool write) {
  const long step = unit.out.step(L), parts = this->plan_.images * (step / unit.out.stride);
  const double* means = means_[unit.norm_index];
  const double* squares = squares_[unit.norm_index];
  const double count = double(unit.out.size() / step);
  long offset = 0;
  for (int i = 0; i < unit.norm_index; ++i) offset += this->plan_.norms[i]->out.channels;
  std::vector<T> mean(unit.out.channels), variance(unit.out.channels);
  for (long c = 0; c < unit.out.channels; ++c) {
    double sum = 0, square = 0;
    for (long p = 0; p < parts; ++p) sum += means[c + p * unit.out.stride];
    sum /= double(parts);
    for (long p = 0; p < parts; ++p) {
      const double away = means[c + p * unit.out.stride] - sum;
      square += squares[c + p * unit.out.stride] + count * away * away;
    }
    mean[c] = T(sum), variance[c] = T(std::max(0.0, square / (count * double(parts))));
    if (square != square) variance[c] = T(square);
  }
  this->make_scale(own.scales[unit.norm_index], unit, mean.data(), variance.data());
  if (!write) return;
  std::copy(mean.begin(), mean.end(), this->arrays_.mean + offset);
  std::copy(variance.begin(), variance.end(), this->arrays_.variance + offset);
  if (!this->arrays_.running) return;
  T* const* running = this->arrays_.running + 2 * unit.norm_index;
  const double values = count * double(parts), unbiased = values / std::max(values - 1, 1.0);
  for (long c = 0; c < unit.out.channels; ++c) {
    running[0][c] += T(unit.momentum) * (mean[c] - running[0][c]);
    running[1][c] += T(unit.momentum) * (variance[c] * T(unbiased) - running[1][c]);
  }
}

template <class T>
void Forward<T>::finish_factors(Scratch<T>& own) {
  const long step = this->plan_.out.step(L);
  std::fill(bias_, bias_ + step, T(0));
  for (size_t t = 0; t < factors_.size(); ++t) {
    const std::vector<Unit>& units = this->plan_.terms[t].units;
    const Scale<T>& scale = units.empty() ? this->identity_ : this->scale(own, units.back());
    for (long c = 0; c < step; ++c) {
      factors_[t][c] = this->arrays_.coefficients[t] * scale.inverse[c];
      bias_[c] += this->arrays_.coefficients[t] * scale.shift[c];
    }
  }
}

template <class T>
void Forward<T>::mix(int thread) {
  const Shape& out = this->plan_.out;
  const long step = out.step(L), rows = std::max(1L, kChunk / out.row());
  std::vector<const T*> sources(factors_.size()), factors(factors_.begin(), factors_.end());
  const bool onto = add_ && out_ == narrow_;
  if (onto) sources.push_back(nullptr), factors.push_back(this->identity_.inverse);
  for (long image = this->first(thread); image < this->first(thread + 1); ++image) {
    for (long y = 0; y < out.height; y += rows) {
      T* to = out_ + image * out.size() + y * out.row();
      for (size_t t = 0; t < factors_.size(); ++t)
        sources[t] = this->result(t, image) + y * out.row();
      if (onto) sources.back() = to;
      mix_rows(sources.data(), factors.data(), int(sources.size()), bias_,
               std::min(rows, out.height - y) * out.row(), step, to);
    }
    if (out_ == narrow_) continue;
    const long pixels = out.height * out.width;
    (add_ ? add_narrow<T> : restride<T>)(out_ + image * out.size(), out.stride,
                                         narrow_ + image * pixels * out.channels, out.channels,
                                         pixels);
  }
}
