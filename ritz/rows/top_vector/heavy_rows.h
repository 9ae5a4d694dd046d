#pragma once
// The first direction of a stream in random order, heavy rows among them: a few rows of largest
// norm are kept, block power iteration over pieces of the stream does the rest.
//
// Kacham & Woodruff, "Approximating the Top Eigenvector in Random Order Streams", NeurIPS 2024
// (paper: guarantee 1 - O(1/sqrt R) for R = s_1^2 / s_2^2 with O(h d polylog d) bits;
// reconstructed: everything below, which agrees with every exponent of the abstract).
//
//     #include "ritz/rows/top_vector.h"
//     #include <torch/types.h>
//     int main() {
//       ritz::rows::TopVector stream({.heavy = 32, .stream = {.seed = 7}});
//       const auto rows = torch::eye(50, torch::kFloat64) * torch::arange(1, 51);
//       for (const auto& batch : rows.split(8)) stream.update(batch);
//       return stream.result().sigma1 == 50 ? 0 : 1;
//     }
#include <memory>

#include "ritz/dist/process_group.h"
#include "ritz/rows/top_vector/stream.h"

namespace ritz::rows {

namespace detail {
class LargestRows;
}

/// Lengths of the pieces. A piece serves for one multiplication.
enum class Schedule {
  geometric,  // n0, n0, 2 n0, 4 n0, ...: each as long as all before; n may be unknown
  equal,      // p pieces of n / p rows; n must be known
};
/// Which of the light part's directions join the heavy rows at the end.
enum class Merge {
  all,    // all k
  rank1,  // the first alone, as in the theorem
};

struct TopVectorOptions {
  int64_t heavy = 64;       // H >= 0: rows kept
  int64_t block_width = 0;  // k in [1, d]; 0: 4, or d where that is less
  Schedule schedule = Schedule::geometric;
  Merge merge = Merge::all;
  bool theta = false;  // keep only rows with ||a||^2 >= F2 / (d L), F2 = the sum so far, at most H
  double subsample = 0;  // c > 0: row i is used with probability min(1, c d ln d ||a_i||^2 / F2 of
                         // its piece) and weighted by its inverse; 0: every row
  int64_t rows = 0;      // n, for Schedule::equal (of this rank)
  int64_t pieces = 0;    // p of Schedule::equal; 0: ceil((ln(d) / 2 + 3) / ln 4) + 1
  int64_t first_rows =
      0;               // n0 > H; 0: max(64, 4 k, 8 ln d, 4 H). A shorter stream's answer is exact
  double polylog = 0;  // L > 0; 0: 4 p ln(2 d)
  Tensor start = {};   // [k, d], the first block; undefined: Gaussian, of the seed
  StreamOptions stream = {};
};

/// With M = A^T A = M_light + M_heavy:
///
///   Z [k, d] orthonormal; of a piece of light rows:  Y = sum a (a^T Z);  then Z <- orth(Y)
///   at the end  L = sqrt(n_light / rows of the last piece) w^(-1/2) U^T Y,  Z Y^T = U w U^T
///               v = the first right singular vector of W = [heavy rows; L]
///
/// L^T L is the single-pass Nystrom approximation of M_light; no piece is read twice. M_light <= M
/// leaves at most one large eigenvalue beside the heavy rows, so that W^T W is within s_1^2 / R +
/// the error of L of M (derived: the sheet's 2.3). The rows that leave the heap enter the piece
/// that is running: they were in no product before.
///
/// While n <= n0 all rows are kept and the answer is exact. State: k d words twice until the first
/// piece ends, four times after it, (d + 2) H for the heap; before that n0 rows. Cost a row: 4 d k
/// flops, 2 d for its norm. With a group every rank feeds its share of the rows (their order random
/// over all); pieces are multiplied together: Y is summed over the ranks at each piece's end (d k
/// words), the global H largest of the ranks' rows are chosen at the end (H d words). Then
/// `update` is collective at ends of pieces, `result` always.
class TopVector : public DirectionStream {
 public:
  explicit TopVector(TopVectorOptions options = {}, dist::ProcessGroup* group = nullptr);
  ~TopVector() override;

  /// The other's rows follow this one's. Heaps are joined, what leaves them and the other's light
  /// factor are kept as a factor of at most 4 k rows; this stream may go on. Two streams that were
  /// read apart have each multiplied only its own pieces: the guarantee holds for neither sum
  /// (Price & Xun 2024: mergeable summaries of this size need R ~ sqrt(d)); with a group it does.
  /// Throws InvalidArgument where options, d or dtype differ.
  void merge(const TopVector& other);

 private:
  struct State;
  void begin() override;
  void absorb(const detail::RowChunk& chunk) override;
  void gather(Totals& totals) override;
  void finish(const Totals& totals, Direction& direction) override;
  void rescale(double factor) override;
  int64_t own_state_bits() const override;
  bool takes_sparse() const override { return true; }

  struct Chosen;
  struct Agreement {
    bool closing = false;   // some rank is at the end of a piece
    bool starting = false;  // every rank still keeps all of its rows
  };
  void keep_first(const detail::RowChunk& chunk, int64_t i);
  void leave_start(double squares);
  void feed(const detail::RowChunk& chunk, int64_t begin, int64_t count, double squares);
  void feed_row(const Tensor& row);
  std::vector<double> sample(const detail::RowChunk& chunk, std::vector<int64_t>& which);
  Agreement agree(bool closing);
  void close_piece(double squares);
  Chosen choose(const detail::LargestRows& mine, int64_t most) const;
  Tensor light_factor(const Chosen& heavy) const;
  void add_rest(const Tensor& factor);
  bool order_changed() const;

  TopVectorOptions options_;
  dist::ProcessGroup alone_;
  dist::ProcessGroup* group_;
  int64_t k_ = 0;
  double polylog_ = 0;
  std::unique_ptr<State> state_;
};

/// p of the sheet's default: enough pieces of a stream with R = 4 for an error of e^-3.
int64_t default_pieces(int64_t d);

}  // namespace ritz::rows
