#include "ritz/dist/process_group.h"

#include <cstdlib>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "ritz/base/check_tensor.h"

namespace ritz::dist {

namespace {

/// Gloo's errors are paragraphs with a stack trace; the first line says what happened.
std::string first_line(const char* text) {
  const std::string_view all(text);
  return std::string(all.substr(0, std::min(all.find('\n'), size_t{200})));
}

std::string place(const Ranks& ranks) {
  return "rank " + std::to_string(ranks.rank) + " of " + std::to_string(ranks.world_size);
}

template <class F>
auto guarded(const char* what, const Ranks& ranks, const F& work) -> decltype(work()) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw SystemFailure(std::string(what) +
                        ": expected all ranks to take part, found a lost or late one (" +
                        place(ranks) + ": " + first_line(error.what()) + ")");
  }
}

std::shared_ptr<::gloo::transport::Device> device_for(const Ranks& ranks) {
  using c10d::ProcessGroupGloo;
  if (const char* interface = std::getenv("GLOO_SOCKET_IFNAME"); interface && *interface) {
    return ProcessGroupGloo::createDeviceForInterface(interface);
  }
  if (ranks.one_machine) return ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  return ProcessGroupGloo::createDefaultDevice();
}

c10::intrusive_ptr<c10d::Store> store_for(const Ranks& ranks, std::chrono::milliseconds timeout) {
  c10::intrusive_ptr<c10d::Store> store;
  if (ranks.file.empty()) {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(ranks.port);
    options.isServer = ranks.serve_store;
    options.numWorkers = static_cast<size_t>(ranks.world_size);
    options.waitWorkers = false;
    options.timeout = timeout;
    store = c10::make_intrusive<c10d::TCPStore>(ranks.address, options);
  } else {
    store = c10::make_intrusive<c10d::FileStore>(ranks.file, ranks.world_size);
  }
  store->setTimeout(timeout);
  return c10::make_intrusive<c10d::PrefixStore>(ranks.prefix, store);
}

}  // namespace

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;

  Backend(const Ranks& ranks, const ProcessGroupOptions& options,
          c10::intrusive_ptr<c10d::Store> the_store)
      : store(std::move(the_store)) {
    auto own = c10d::ProcessGroupGloo::Options::create(options.timeout);
    own->devices.push_back(device_for(ranks));
    gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(store, ranks.rank, ranks.world_size, own);
  }

  /// Runs a collective on a contiguous host tensor that holds `tensor`'s values, and copies the
  /// result back where that was not `tensor` itself.
  template <class F>
  void in_place(const Tensor& tensor, const F& collective) {
    std::vector<Tensor> host{tensor.detach().to(at::kCPU).contiguous()};
    collective(host)->wait();
    if (!host[0].is_alias_of(tensor) || !tensor.is_contiguous()) tensor.detach().copy_(host[0]);
  }
};

ProcessGroup::ProcessGroup() = default;
ProcessGroup::ProcessGroup(ProcessGroup&&) noexcept = default;
ProcessGroup& ProcessGroup::operator=(ProcessGroup&&) noexcept = default;
ProcessGroup::~ProcessGroup() = default;

ProcessGroup::ProcessGroup(const Ranks& ranks, ProcessGroupOptions options)
    : ranks_(ranks), options_(options) {
  check_at_least("world_size", ranks.world_size, 1);
  check_range("rank", ranks.rank, 0, ranks.world_size - 1);
  check_at_least("timeout", options.timeout.count(), 1);
  if (ranks.world_size == 1) return;
  guarded("rendezvous", ranks_, [&] {
    backend_ = std::make_unique<Backend>(ranks, options, store_for(ranks, options.timeout));
  });
}

ProcessGroup ProcessGroup::subgroup(const std::vector<int>& members) {
  ProcessGroup group;
  group.options_ = options_;
  group.words_ = words_;
  group.ranks_ = ranks_;
  group.ranks_.world_size = static_cast<int>(members.size());
  group.ranks_.rank = -1;
  std::string name = "subgroup-" + std::to_string(subgroups_++);
  for (size_t k = 0; k < members.size(); ++k) {
    check_range("members", members[k], 0, world_size() - 1);
    if (members[k] == rank()) group.ranks_.rank = static_cast<int>(k);
    name += "-" + std::to_string(members[k]);
  }
  if (group.rank() < 0) {
    throw InvalidArgument("members", "this rank among them, " + std::to_string(rank()), name);
  }
  if (members.size() == 1) return group;
  guarded("rendezvous", group.ranks_, [&] {
    group.backend_ = std::make_unique<Backend>(
        group.ranks_, options_, c10::make_intrusive<c10d::PrefixStore>(name, backend_->store));
  });
  return group;
}

ProcessGroup ProcessGroup::from_environment(ProcessGroupOptions options) {
  return ProcessGroup(discover_ranks(), options);
}

void ProcessGroup::all_reduce_sum(const Tensor& tensor) {
  *words_ += tensor.numel();
  if (!backend_) return;
  // Gloo's ring sums each segment on one rank and passes the sum on: all ranks get the same bits.
  guarded("all-reduce", ranks_, [&] {
    backend_->in_place(tensor, [&](auto& host) { return backend_->gloo->allreduce(host); });
  });
}

void ProcessGroup::broadcast(const Tensor& tensor, int root) {
  check_range("root", root, 0, ranks_.world_size - 1);
  if (ranks_.rank == root) *words_ += tensor.numel();
  if (!backend_) return;
  c10d::BroadcastOptions options;
  options.rootRank = root;
  guarded("broadcast", ranks_, [&] {
    backend_->in_place(tensor,
                       [&](auto& host) { return backend_->gloo->broadcast(host, options); });
  });
}

Tensor ProcessGroup::all_gather(const Tensor& tensor) {
  *words_ += tensor.numel();
  if (!backend_) return tensor.unsqueeze(0).clone();
  return guarded("all-gather", ranks_, [&] {
    std::vector<Tensor> own{tensor.detach().to(at::kCPU).contiguous()};
    std::vector<int64_t> shape = own[0].sizes().vec();
    shape.insert(shape.begin(), ranks_.world_size);
    const Tensor all = at::empty(shape, own[0].options());
    std::vector<std::vector<Tensor>> outputs{all.unbind(0)};
    backend_->gloo->allgather(outputs, own)->wait();
    return all.to(tensor.device());
  });
}

std::vector<Tensor> ProcessGroup::all_gather_unequal(const Tensor& tensor) {
  if (tensor.dim() == 0) throw InvalidArgument("tensor", "at least 1 dimension", describe(tensor));
  if (!backend_) {
    *words_ += tensor.numel();
    return {tensor.clone()};
  }
  // Gloo's gather wants equal shapes: the row counts go first, then every rank pads to the longest.
  const int64_t words = *words_ + tensor.numel();
  const Tensor counts = all_gather(at::full({1}, tensor.size(0), at::kLong)).view({-1});
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape[0] = counts.max().item<int64_t>();
  Tensor padded = tensor.new_zeros(shape);
  padded.narrow(0, 0, tensor.size(0)).copy_(tensor.detach());
  const Tensor all = all_gather(padded);
  *words_ = words;
  std::vector<Tensor> parts;
  for (int rank = 0; rank < ranks_.world_size; ++rank) {
    parts.push_back(all[rank].narrow(0, 0, counts[rank].item<int64_t>()));
  }
  return parts;
}

void ProcessGroup::barrier() {
  if (!backend_) return;
  guarded("barrier", ranks_, [&] { backend_->gloo->barrier()->wait(); });
}

}  // namespace ritz::dist
