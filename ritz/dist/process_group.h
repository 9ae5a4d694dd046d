#pragma once
// Ranks that work together: a thin face on libtorch's c10d (Gloo; NCCL's place is taken by host
// copies for CUDA tensors), started by torchrun, mpirun or Slurm. Without a launcher the group is
// this process alone, every collective is the identity, and no socket or thread exists.
//
//     #include "ritz/dist/process_group.h"
//     #include <torch/types.h>
//     int main() {  // alone, or as mpirun -np 4 ./program
//       auto group = ritz::dist::ProcessGroup::from_environment();
//       auto sum = torch::ones({3});
//       group.all_reduce_sum(sum);
//       return sum[0].item<double>() == group.world_size() ? 0 : 1;
//     }
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::dist {

enum class Launcher { none, torchrun, mpirun, slurm };

/// This process's place, and where its peers meet.
struct Ranks {
  Launcher launcher = Launcher::none;
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;        // among the ranks on this machine: which GPU to take
  bool one_machine = true;   // all ranks are known to share one: they talk over loopback
  std::string address = {};  // of the TCP store; empty where a file serves
  int port = 0;
  bool serve_store = false;  // this rank holds the TCP store (rank 0, unless torchrun's agent does)
  std::string file = {};     // of the file store: mpirun on one machine with nothing else set
  std::string prefix = {};   // of the keys in the store: the attempt, after a restart by torchrun
};

/// Reads the launcher's environment variables, in this order:
/// - RANK and WORLD_SIZE (torchrun, or set by hand), MASTER_ADDR, MASTER_PORT, LOCAL_RANK,
///   LOCAL_WORLD_SIZE, TORCHELASTIC_USE_AGENT_STORE;
/// - OMPI_COMM_WORLD_RANK and _SIZE (mpirun of Open MPI): MASTER_ADDR and MASTER_PORT where set,
/// else a
///   file in the job's own session folder, which serves ranks on one machine;
/// - SLURM_PROCID and SLURM_STEP_NUM_TASKS inside a step that srun started with more than one task:
/// the
///   first host of its node list, with a port made from the job's and the step's numbers.
/// Throws InvalidArgument naming the variable that is missing or malformed.
Ranks discover_ranks();

/// "n[08-11,20],m3" -> "n08": the first host of a Slurm node list.
std::string first_host(std::string_view node_list);

struct ProcessGroupOptions {
  /// A rank that does not answer for so long is taken for lost. One that dies is noticed at once.
  std::chrono::milliseconds timeout = std::chrono::minutes(30);
};

/// A group of ranks. All ranks call the same collectives in the same order. Every result is the
/// same on all ranks, bit for bit. A lost rank or one that is late makes the others throw
/// SystemFailure, after which the group is of no more use. Tensors may be of any device and any
/// dense strides; CUDA tensors go through host memory.
///
///     auto group = ritz::dist::ProcessGroup::from_environment();
///     group.all_reduce_sum(gradient);
///     gradient /= group.world_size();
class ProcessGroup {
 public:
  /// This process alone.
  ProcessGroup();
  /// Joins the other ranks; returns when all are there. Throws SystemFailure after the time-out.
  explicit ProcessGroup(const Ranks& ranks, ProcessGroupOptions options = {});
  static ProcessGroup from_environment(ProcessGroupOptions options = {});
  ProcessGroup(ProcessGroup&&) noexcept;
  ProcessGroup& operator=(ProcessGroup&&) noexcept;
  ~ProcessGroup();

  int rank() const { return ranks_.rank; }
  int world_size() const { return ranks_.world_size; }
  const Ranks& ranks() const { return ranks_; }

  /// The group of these ranks, this one among them; their order is that of the new group's ranks.
  /// Those named call it together; each rank has made as many subgroups before as the others have.
  /// What it sends counts in this group's words too.
  ProcessGroup subgroup(const std::vector<int>& members);

  /// tensor <- sum over ranks, in place. Shapes and dtypes agree on all ranks.
  void all_reduce_sum(const Tensor& tensor);
  /// tensor <- root's tensor, in place.
  void broadcast(const Tensor& tensor, int root = 0);
  /// [P, ...]: every rank's tensor [...], in the order of ranks; equal shapes.
  Tensor all_gather(const Tensor& tensor);
  /// Every rank's tensor, in the order of ranks; they may differ in their first dimension only.
  std::vector<Tensor> all_gather_unequal(const Tensor& tensor);
  /// Returns when all ranks have called it.
  void barrier();

  /// Tensor elements this rank has handed to collectives so far: n for an all-reduce or all-gather
  /// of n elements, n at a broadcast's root and none elsewhere; headers and barriers do not count.
  /// It is the count of the methods' cost formulas, independent of the algorithm that moves the
  /// words, and goes on counting in a group of one, so that a formula can be checked without
  /// launching ranks.
  int64_t words_sent() const { return *words_; }

 private:
  struct Backend;
  Ranks ranks_;
  std::unique_ptr<Backend> backend_;  // null in a group of one
  ProcessGroupOptions options_;
  std::shared_ptr<int64_t> words_ = std::make_shared<int64_t>(0);
  int subgroups_ = 0;
};

}  // namespace ritz::dist
