#pragma once
// Complex FFTs of one row that stays in the second cache, for convolutions: the spectrum's order is
// whatever the passes leave, the same for all rows of a plan, so that nothing is ever reordered.
//
// N = 8 M. A row x_j, j = 8 j1 + j2, is an array of M elements of eight lanes j2: {8 real parts, 8
// imaginary parts}. First M-point transforms of all lanes at once, by radix-4 passes (a 3 or 5
// before, a 2 where M asks for it), decimated in frequency and depth first: blocks that fit the
// first cache are finished before the next is begun. Then, for eight elements at a time, twiddles,
// an 8 x 8 transposition and 8-point transforms across what were the lanes. The inverse runs the
// same way back. Two real rows of one channel travel as the two parts of one complex row: a filter
// is real.
//
// Cost: about 5 N log2 N flops a transform, three trips of the row through the second cache.
#include <cstdint>
#include <vector>

namespace ritz::sequence::detail {

constexpr int64_t kFftLanes = 8;

/// What a transform of size N needs to know; made once a call.
template <class Scalar>
class FftPlan {
 public:
  /// The least size 8 2^k {1, 3, 5} >= `least`, at least 64.
  explicit FftPlan(int64_t least);
  int64_t size() const { return N_; }
  /// Numbers in a row's buffer: both parts.
  int64_t numbers() const { return 2 * N_; }

  struct Stage {
    int64_t radix, length;         // of the blocks it cuts
    std::vector<Scalar> twiddles;  // [length / radix, radix - 1, 2]
  };
  const std::vector<Stage>& stages() const { return stages_; }
  /// exp(-2 pi i j2 k1 / N) = high * low for the element at position p = block * low_count() +
  /// rest.
  const Scalar* high() const { return high_.data(); }  // [M / low_count(), 2, 8]
  const Scalar* low() const { return low_.data(); }    // [low_count(), 2, 8]
  int64_t low_count() const { return low_count_; }

 private:
  int64_t N_ = 0, low_count_ = 0;
  std::vector<Stage> stages_;
  std::vector<Scalar> high_, low_;
};

/// Rows' buffers are aligned to 64 bytes.
template <class Scalar>
class FftBuffer {
 public:
  explicit FftBuffer(int64_t numbers);
  ~FftBuffer();
  FftBuffer(const FftBuffer&) = delete;
  FftBuffer& operator=(const FftBuffer&) = delete;
  Scalar* data() { return data_; }

 private:
  Scalar* data_;
};

/// Up to two real rows of `count` numbers (the second may be null) times `scale`, zeros behind.
template <class Scalar>
void fft_pack(const FftPlan<Scalar>& plan, int64_t count, const Scalar* first, const Scalar* second,
              Scalar scale, Scalar* row);
/// What fft_pack packed: the first `count` numbers, plus `direct` times the input rows where those
/// are given.
template <class Scalar>
void fft_unpack(const FftPlan<Scalar>& plan, int64_t count, const Scalar* row, Scalar direct,
                const Scalar* in_first, const Scalar* in_second, Scalar* first, Scalar* second);

/// In place; no scaling: inverse(forward(x)) = N x.
template <class Scalar>
void fft_forward(const FftPlan<Scalar>& plan, Scalar* row);
template <class Scalar>
void fft_inverse(const FftPlan<Scalar>& plan, Scalar* row);
/// row <- inverse(spectrum . forward(row)).
template <class Scalar>
void fft_filter(const FftPlan<Scalar>& plan, const Scalar* spectrum, Scalar* row);
/// G = forward(row); sum += conj(other) . G; row <- inverse(conj(spectrum) . G).
template <class Scalar>
void fft_correlate(const FftPlan<Scalar>& plan, const Scalar* spectrum, const Scalar* other,
                   Scalar* sum, Scalar* row);

/// sum_i a_i b_i over `count` numbers.
template <class Scalar>
Scalar dot(int64_t count, const Scalar* a, const Scalar* b);

}  // namespace ritz::sequence::detail
