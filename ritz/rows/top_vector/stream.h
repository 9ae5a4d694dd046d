#pragma once
// What all ways to the first direction of a stream of rows share: rows go in, a unit vector comes
// out.
//
// The rows a_1 ... a_n of A [n, d] arrive once, in batches of any size. Sought are v_1, the first
// right singular vector of A (the first eigenvector of M = A^T A, the first principal direction of
// uncentred rows), and sigma_1 = ||A v_1||.
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "ritz/rows/sparse_rows.h"

namespace ritz::rows {

/// What every method takes.
struct StreamOptions {
  uint64_t seed = 0;         // of the start vectors and of everything drawn
  bool centre = false;       // the first principal component: of the rows less their mean
  bool skip_bad = false;     // pass over rows with NaN or Inf, counting them, instead of throwing
  int64_t memory_limit = 0;  // bytes the state may take; 0: 80 % of what is free
  int64_t cols = 0;          // d, where it must be known before the first row: a rank may have none
  int64_t first_row = 0;     // the number of the first row, where a rank begins in the middle
};

/// What is doubtful about a direction. Nothing set: nothing was found to be.
struct DirectionStatus {
  bool short_stream = false;    // n < d L: too short to tell heavy rows from average ones
  bool heavy_overflow = false;  // more heavy rows than are kept: accuracy not certified
  bool gap_small = false;       // the second direction is as strong: the first is not defined
  bool no_growth = false;       // no learning rate of the grid grew as it must

  bool ok() const { return !(short_stream || heavy_overflow || gap_small || no_growth); }
  /// "ok", or the names of what is set.
  std::vector<std::string> names() const;
};

struct Direction {
  Tensor vector;  // [d], unit length, its largest entry positive; float32 or float64 as the rows
  double sigma1 = 0;                                      // estimate of ||A v_1||
  double gap = std::numeric_limits<double>::quiet_NaN();  // estimate of s_1^2 / s_2^2; Inf for rank
                                                          // one, NaN where a method has none
  int64_t n = 0;                                          // rows seen, zero rows among them
  int64_t d = 0;                                          // columns
  int64_t skipped = 0;                                    // rows passed over (skip_bad), not in n
  double frobenius = 0;                                   // ||A||_F

  DirectionStatus status;
  bool order_not_random = false;  // later rows are unlike earlier ones (methods with pieces)
  int64_t state_bits = 0;         // the most that was kept between two rows
  int64_t workspace_bits = 0;     // beside it: one batch and what is computed of it

  int64_t h_est = 0;                     // rows kept with ||a||^2 >= ||A||_F^2 / (d L)
  std::vector<int64_t> heavy_rows = {};  // their numbers, counted from 0 over all rows that came
  std::vector<double> lambda_by_piece = {};  // largest eigenvalue of each piece's Gram matrix on
                                             // the block, a row
  double rate = 0;  // oja-grid: the learning rate whose vector it is (0: the largest row)
};

namespace detail {
struct RowChunk;
}

/// Sums over the rows so far.
struct Totals {
  int64_t n = 0;         // rows, zero rows among them
  int64_t centring = 0;  // rows that stand for differences of means, beside them
  int64_t skipped = 0;
  double squares = 0;  // ||A||_F^2 of the scaled rows
  double largest = 0;  // their largest ||a||^2
};

/// A method in the middle of its stream.
///
/// Whatever the scale of the rows (1e150 or 1e-150 in float64), nothing overflows: they are divided
/// by a power of two that is moved when larger ones arrive. With `centre` a batch of b rows with
/// mean m_b comes as its b rows less m_b and one row sqrt(n b / (n + b)) (m_b - m), m the mean of
/// the n rows before: the Gram matrix of what comes is exactly that of the centred rows (Chan,
/// Golub and LeVeque 1983). Not safe for use by several threads at once.
class DirectionStream {
 public:
  explicit DirectionStream(const StreamOptions& options);
  virtual ~DirectionStream();
  DirectionStream(const DirectionStream&) = delete;
  DirectionStream& operator=(const DirectionStream&) = delete;

  /// Takes rows [b, d] (or one row [d]): float32, float64, float16 or bfloat16, any strides. The
  /// first call settles d, dtype and device. Throws InvalidArgument for another d, dtype or device,
  /// for a row that is not finite (by its number, counted from 0 over all rows that came; the rows
  /// before it may have been taken) unless skip_bad, and where the state would not fit
  /// memory_limit.
  void update(const Tensor& rows);
  void update(const SparseRows& rows);

  /// The direction of the rows so far; the stream may go on. Throws InvalidArgument where no row
  /// came or all were zero (`zero_matrix`).
  Direction result();

  /// Rows taken so far, without those skipped.
  int64_t rows() const { return totals_.n; }
  int64_t cols() const { return d_; }
  /// What is kept at this moment, in bits: every tensor and list of the state, exactly.
  int64_t state_bits() const;

 protected:
  /// d(), dtype and device are known from now on; checks what depends on them.
  virtual void begin() = 0;
  /// Some rows, none of them bad, times 2^-exponent().
  virtual void absorb(const detail::RowChunk& chunk) = 0;
  /// Adds what other ranks saw; all ranks have called result().
  virtual void gather(Totals&) {}
  /// Fills vector (float64, any sign and length), sigma1 (of the scaled rows) and whatever else the
  /// method knows.
  virtual void finish(const Totals& totals, Direction& direction) = 0;
  /// Rows come times `factor`, a power of two below 1, from now on: what is kept must follow.
  virtual void rescale(double factor) = 0;
  /// Bits the method keeps.
  virtual int64_t own_state_bits() const = 0;
  /// Whether compressed rows are taken as they are; else they come dense.
  virtual bool takes_sparse() const { return false; }

  /// Scales what is kept to 2^-exponent; a larger one than exponent().
  void set_exponent(int exponent);
  /// Takes over the other's totals, mean and row numbers (which follow this one's). Both are then
  /// of one exponent: the other's values must be taken times the returned factor. `difference` is
  /// the row of centring between the two means (undefined where rows are not centred).
  double join(const DirectionStream& other, Tensor& difference);
  void open(int64_t cols, const TensorOptions& rows);
  int64_t arrived() const { return arrived_; }

  /// Throws where so many bits of state do not fit the limit.
  void check_fits(int64_t bits) const;
  void note_peak();

  const StreamOptions& options() const { return options_; }
  int64_t d() const { return d_; }
  const TensorOptions& tensor() const { return tensor_; }  // dtype and device of the rows
  TensorOptions doubles() const;                           // float64 on that device
  const Totals& totals() const { return totals_; }
  int exponent() const { return exponent_; }

 private:
  template <class Rows>
  void take_chunk(const Rows& rows);
  template <class Rows>
  void feed(const Rows& rows, std::span<const double> norms, std::span<const int64_t> numbers);
  Tensor centred(const Tensor& rows);

  StreamOptions options_;
  int64_t d_ = 0, arrived_ = 0;
  TensorOptions tensor_;
  int exponent_ = 0;
  Totals totals_;
  Tensor mean_;  // [d] float64, of the scaled rows, where they are centred
  int64_t peak_bits_ = 0, workspace_bits_ = 0;
};

}  // namespace ritz::rows
