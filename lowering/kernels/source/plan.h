// What a call computes: shapes, padded scratch images and tap offsets, from a list of integers.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "taps.h"

constexpr long kUnitCode = 13;  // integers for each unit

enum Window { kNone, kDepthwise, kMaximum, kAverage, kDense, kFactorized };

// An image in scratch: rows of columns of `stride` channels. Channels are padded to the lanes, or,
// where there are fewer of them than lanes and every row is whole vectors, to a power of two.
struct Shape {
  long channels, height, width, stride;

  long row() const { return width * stride; }
  long size() const { return height * row(); }
  long step(long lanes) const { return std::max(stride, lanes); }
  bool operator==(const Shape& other) const = default;
};

// A scratch image with margins; its columns lie by phase (column modulo `phases`), so that
// what a strided window reads is contiguous.
struct Slot {
  Shape shape;
  long top, bottom, left, right, phases;
  int value;  // which value it holds, or -1: made anew each time
  bool relu, minimum;

  long phase() const { return (shape.width + left + right + phases - 1) / phases * shape.stride; }
  long row() const { return phases * phase(); }
  long size() const { return (shape.height + top + bottom) * row(); }
  long at(long row_index, long column) const {
    column += left;
    return (row_index + top) * row() + column % phases * phase() + column / phases * shape.stride;
  }
  bool operator==(const Slot& other) const = default;
};

struct TapList {
  std::vector<long> offset;
  std::vector<int> index;

  int run = 0, apart = 0;
  long before = 0;  // taps in the lists before this one

  operator Taps() const { return {offset.data(), index.data(), int(offset.size()), run, apart}; }

  // Finds runs of `length`, where columns are `step` values apart, and puts them in order.
  void find_runs(long length, long step) {
    if (length < 2 || offset.empty() || offset.size() % length) return;
    const long distance = offset[1] - offset[0];
    if (distance % step || std::abs(distance / step) > 2) return;
    for (size_t i = 0; i < offset.size(); ++i)
      if (i % length && offset[i] - offset[i - 1] != distance) return;
    run = int(length), apart = int(std::abs(distance / step));
    if (distance > 0) return;
    std::reverse(offset.begin(), offset.end());
    std::reverse(index.begin(), index.end());
  }
};

struct Unit {
  bool relu, product, norm;
  int window;
  long kernel[2], stride[2], dilation[2], padding[2];
  double eps, momentum;
  Shape in, middle, out;           // before the window, after it, after the product
  int depthwise = -1, matrix = -1;  // which weights
  int norm_index = -1;
  long kept = -1;  // where its output begins among those kept for backward
  int source = -1, back = -1, which = -1;  // slots: input, gradient, the maxima's taps
  TapList forward;
  std::vector<TapList> backward;  // by phase of the input's row and column
  long pack = 1;                  // pixels in one row of the product

  long taps() const { return kernel[0] * kernel[1]; }
  bool dense() const { return window == kDense || window == kFactorized; }
  // A factorized reduce is a window of two taps on the diagonal: the first half of the channels it
  // makes has the first one, the others the second, each half with a weight of its own.
  bool has(long i, long j) const { return window != kFactorized || i == j; }
  long tap(long i, long j) const { return window == kFactorized ? i : i * kernel[1] + j; }
  long halves() const { return window == kFactorized ? 2 : 1; }
  long half(long o) const { return window == kFactorized && o >= out.channels / 2; }
  long points() const { return window == kDense ? taps() : halves(); }  // a product sums over
  long inner() const { return pack * middle.stride; }
  long outer() const { return pack * out.stride; }
};

struct Term {
  int value;
  std::vector<Unit> units;
};

struct Plan {
  long images = 0, lanes = 0;
  std::vector<Shape> values;
  std::vector<Term> terms;
  std::vector<Slot> slots;
  std::vector<Unit*> norms;
  long kept = 0;  // values kept for backward
  std::vector<std::pair<Unit*, bool>> weights;  // the unit, and whether it is the depthwise one
  Shape out;
  size_t depth = 0;  // the most units in a term

  Plan(const long* code, const double* norms, long lanes);
  Plan(const Plan&) = delete;
  long weight_values(size_t i) const;

 private:
  void read(const long* code, const double* norms);
  bool packs() const;
  void pad(bool packed);
  int slot(Slot wanted);
  void lay_out(Unit& unit, int value);
  void lay_back(Unit& unit);
  void aim(Unit& unit);
};

inline Plan::Plan(const long* code, const double* norms, long lanes) : lanes(lanes) {
  read(code, norms);
  pad(packs());
  for (Term& term : terms)
    for (size_t u = 0; u < term.units.size(); ++u) {
      Unit& unit = term.units[u];
      unit.pack = std::max(1L, lanes / std::min(unit.middle.stride, unit.out.stride));
      if (unit.window != kNone) lay_out(unit, u ? -1 : term.value);
      if (unit.window == kDepthwise) weights.emplace_back(&unit, true);
      for (long i = 0; unit.product && i < unit.halves(); ++i) weights.emplace_back(&unit, false);
      if (unit.window == kDepthwise) unit.depthwise = int(weights.size()) - 1 - unit.product;
      if (unit.product) unit.matrix = int(weights.size() - unit.halves());
      if (unit.norm) unit.norm_index = int(this->norms.size()), this->norms.push_back(&unit);
      const bool cheap = term.units.size() == 1 && unit.taps() <= 9;  // to make again
      if (unit.dense() || (unit.window == kDepthwise && unit.product && !cheap))
        unit.kept = kept, kept += images * unit.out.size();
    }
  for (Term& term : terms)
    for (Unit& unit : term.units)
      if (unit.window != kNone) aim(unit), lay_back(unit);
}

// The number of values of a weight as Python has it.
inline long Plan::weight_values(size_t i) const {
  const auto& [unit, depthwise] = weights[i];
  if (depthwise) return unit->in.channels * unit->taps();
  const long before = unit->halves() == 2 ? unit->out.channels / 2 : 0;
  const long made = long(i) == unit->matrix && before ? before : unit->out.channels - before;
  return made * unit->middle.channels * unit->points() / unit->halves();
}

inline void Plan::read(const long* code, const double* norms) {
  images = *code++;
  values.resize(*code++);
  for (Shape& value : values) value = {code[0], code[1], code[2], 0}, code += 3;
  terms.resize(*code++);
  for (Term& term : terms) {
    term.value = int(*code++);
    term.units.resize(*code++);
    depth = std::max(depth, term.units.size());
    Shape shape = values[term.value];
    for (Unit& unit : term.units) {
      unit.relu = *code++, unit.window = int(*code++);
      for (int i = 0; i < 2; ++i, code += 4)
        unit.kernel[i] = code[0], unit.stride[i] = code[1], unit.dilation[i] = code[2],
        unit.padding[i] = code[3];
      unit.in = unit.middle = shape;
      for (int i = 0; i < 2; ++i) {
        const long size = i ? shape.width : shape.height;
        const long reach = (unit.kernel[i] - 1) * unit.dilation[i] + 1;
        (i ? unit.middle.width : unit.middle.height) =
            (size + 2 * unit.padding[i] - reach) / unit.stride[i] + 1;
      }
      unit.out = unit.middle;
      unit.product = *code++;
      unit.out.channels = *code++;
      unit.norm = *code++;
      unit.eps = *norms++, unit.momentum = *norms++;
      shape = unit.out;
    }
    out = shape;
  }
}

// Whether every row of every image, and of its phases, would be whole vectors.
inline bool Plan::packs() const {
  const auto whole = [&](Shape shape, long phases) {
    const long power = std::min(lanes, long(1) << long(std::ceil(std::log2(shape.channels))));
    return shape.width % phases == 0 && shape.width / phases * power % lanes == 0;
  };
  for (const Shape& value : values)
    if (!whole(value, 1)) return false;
  for (const Term& term : terms)
    for (const Unit& unit : term.units)
      if (!whole(unit.in, unit.stride[1]) || !whole(unit.middle, 1) || !whole(unit.out, 1))
        return false;
  return true;
}

inline void Plan::pad(bool packed) {
  const auto set = [&](Shape& shape) {
    shape.stride = (shape.channels + lanes - 1) / lanes * lanes;
    if (packed && shape.channels < lanes)
      for (shape.stride = 1; shape.stride < shape.channels;) shape.stride *= 2;
  };
  for (Shape& value : values) set(value);
  set(out);
  for (Term& term : terms)
    for (Unit& unit : term.units) set(unit.in), set(unit.middle), set(unit.out);
}

// The slot's number; values' slots that differ in their margins alone become one.
inline int Plan::slot(Slot wanted) {
  for (Slot& slot : slots) {
    Slot same = wanted;
    if (wanted.value >= 0)
      same.top = slot.top, same.bottom = slot.bottom, same.left = slot.left,
      same.right = slot.right;
    if (!(same == slot)) continue;
    slot.top = std::max(slot.top, wanted.top), slot.bottom = std::max(slot.bottom, wanted.bottom);
    slot.left = std::max(slot.left, wanted.left), slot.right = std::max(slot.right, wanted.right);
    return int(&slot - slots.data());
  }
  slots.push_back(wanted);
  return int(slots.size()) - 1;
}

inline void Plan::lay_out(Unit& unit, int value) {
  const long rows = unit.padding[0], columns = unit.padding[1];
  unit.source = slot({unit.in, rows, rows, columns, columns, unit.stride[1], value, unit.relu,
                      unit.window == kMaximum});
}

inline void Plan::aim(Unit& unit) {
  const Slot& source = slots[unit.source];
  for (long i = 0; i < unit.kernel[0]; ++i)
    for (long j = 0; j < unit.kernel[1]; ++j) {
      if (!unit.has(i, j)) continue;
      const long row = i * unit.dilation[0] - unit.padding[0];
      const long column = j * unit.dilation[1] - unit.padding[1];
      unit.forward.offset.push_back(source.at(row, column));
      unit.forward.index.push_back(int(unit.tap(i, j)));
    }
  if (!unit.dense()) unit.forward.find_runs(unit.kernel[1], unit.in.step(lanes));
}

// The taps that hand a gradient back, for each phase of an input row and column, and its slot.
inline void Plan::lay_back(Unit& unit) {
  const long middle[2] = {unit.middle.height, unit.middle.width};
  const long in[2] = {unit.in.height, unit.in.width};
  long before[2] = {}, after[2] = {};
  for (int axis = 0; axis < 2; ++axis)
    for (long phase = 0; phase < unit.stride[axis]; ++phase)
      for (long i = 0; i < unit.kernel[axis]; ++i) {
        const long at = phase + unit.padding[axis] - i * unit.dilation[axis];
        if (at % unit.stride[axis] || phase >= in[axis]) continue;
        const long last = (in[axis] - 1 - phase) / unit.stride[axis] + at / unit.stride[axis];
        before[axis] = std::max(before[axis], -at / unit.stride[axis]);
        after[axis] = std::max(after[axis], last - (middle[axis] - 1));
      }
  const Shape& given = unit.dense() ? unit.out : unit.middle;
  Slot wanted{given, before[0], after[0], before[1], after[1], 1, -2, false, false};
  unit.back = slot(wanted);
  wanted.value = -3;
  if (unit.window == kMaximum) unit.which = slot(wanted);
  long taps = 0;
  for (long y = 0; y < unit.stride[0]; ++y)
    for (long x = 0; x < unit.stride[1]; ++x) {
      TapList& list = unit.backward.emplace_back();
      list.before = taps;
      for (long i = 0; i < unit.kernel[0]; ++i)
        for (long j = 0; j < unit.kernel[1]; ++j) {
          const long row = y + unit.padding[0] - i * unit.dilation[0];
          const long column = x + unit.padding[1] - j * unit.dilation[1];
          if (row % unit.stride[0] || column % unit.stride[1] || !unit.has(i, j)) continue;
          list.offset.push_back(
              wanted.at(row / unit.stride[0], column / unit.stride[1]));
          list.index.push_back(int(unit.tap(i, j)));
        }
      taps += long(list.index.size());
      if (unit.stride[1] == 1 && !unit.dense()) list.find_runs(unit.kernel[1], unit.in.step(lanes));
    }
}
