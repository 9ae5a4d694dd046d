// ritz's side of bench/peers/ptd_ssm_peers.py.
//
//     sequence_peer_bench prepare FOLDER                    writes the inputs of all tasks
//     sequence_peer_bench run FOLDER TASK REPEATS THREADS   kernel, layer, scan or mimo
//
// `run` answers with one line of JSON (seconds of each repeat after a first, peak memory above the
// inputs) and leaves the answer in FOLDER/ritz_TASK.safetensors.
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/base/timer.h"
#include "ritz/io/array_file.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"
#include "ritz/sequence/convolution.h"
#include "ritz/sequence/discretise.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/scan.h"
#include "ritz/sequence/vandermonde.h"

namespace {

using namespace ritz::sequence;
using ritz::Tensor;
using Tensors = std::map<std::string, Tensor>;

void write(const std::string& path, const Tensors& tensors) {
  std::vector<ritz::io::Array> arrays;
  for (const auto& [name, value] : tensors)
    arrays.push_back(ritz::io::to_array(name, value.detach().contiguous()));
  ritz::io::write_arrays(path, arrays, {.force = true});
}
Tensors read(const std::string& path) {
  Tensors all;
  for (const auto& array : ritz::io::read_safetensors(path).arrays)
    all[array.name] = ritz::io::to_tensor(array).clone();
  return all;
}

// Complex arrays by their parts: the format has complex64 alone, and not every reader that.
void put(Tensors& to, const std::string& name, const Tensor& z) {
  to[name + "_re"] = torch::real(z).to(torch::kFloat32).contiguous();
  to[name + "_im"] = torch::imag(z).to(torch::kFloat32).contiguous();
}
Tensor complex_of(const Tensors& from, const std::string& name) {
  return torch::complex(from.at(name + "_re").to(torch::kFloat64),
                        from.at(name + "_im").to(torch::kFloat64));
}

Tensor normal(at::IntArrayRef shape, uint64_t index) {
  return ritz::RandomStream(1, ritz::stream_id("bench/peers", index))
      .normal(shape, torch::kFloat32);
}

/// H = 256, N = 32, L = 16384, B = 8; and L = 4096, P = 256, H = 128.
void prepare(const std::string& folder) {
  const int64_t H = 256, N = 32, L = 16384, B = 8, P = 256, width = 128, steps = 4096;
  Tensors all;
  const auto system = diagonal_hippo(2 * N);
  const auto made = discretise(system.eigenvalues.expand({H, -1}),
                               torch::logspace(-3, -1, H, 10, torch::kFloat64).unsqueeze(1));
  put(all, "log_a", made.log_a);
  put(all, "c", torch::complex(normal({H, N}, 1), normal({H, N}, 2)) * made.gain);
  all["u"] = normal({B, H, L}, 3);
  all["g"] = normal({B, H, L}, 4);
  all["D"] = normal({H}, 5);
  const auto wide = diagonal_hippo(2 * P);
  const auto sampled =
      discretise(wide.eigenvalues, torch::logspace(-3, -1, P, 10, torch::kFloat64));
  put(all, "a", sampled.a);
  put(all, "Bbar",
      torch::complex(normal({P, width}, 6), normal({P, width}, 7)) *
          sampled.gain.unsqueeze(1).to(torch::kComplexFloat));
  put(all, "C", torch::complex(normal({width, P}, 8), normal({width, P}, 9)));
  all["v"] = normal({1, steps, 2 * P}, 10);
  all["signal"] = normal({1, steps, width}, 11);
  all["signal_g"] = normal({1, steps, width}, 12);
  all["direct"] = normal({width}, 13);
  write(folder + "/inputs.safetensors", all);
}

int64_t status_kilobytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return std::stoll(line.substr(key.size() + 1));
  return 0;
}

void run(const std::string& folder, const std::string& task, int64_t repeats, int threads) {
  ritz::set_threads(threads);
  const auto in = read(folder + "/inputs.safetensors");
  const auto leaf = [](const Tensor& x) { return x.detach().clone().requires_grad_(true); };
  const Tensor log_a = leaf(complex_of(in, "log_a")), c = leaf(complex_of(in, "c"));
  const Tensor u = leaf(in.at("u")), D = leaf(in.at("D")), g = in.at("g");
  const Tensor a = complex_of(in, "a"), v = in.at("v");
  const Tensor leaf_a = leaf(a), Bbar = leaf(complex_of(in, "Bbar")), C = leaf(complex_of(in, "C"));
  const Tensor signal = leaf(in.at("signal")), direct = leaf(in.at("direct"));
  Tensors answer;
  const auto gradients = [&](const Tensor& y, const std::vector<std::pair<std::string, Tensor>>& of,
                             const Tensor& with) {
    std::vector<Tensor> leaves;
    for (const auto& [name, x] : of) leaves.push_back(x);
    const auto found = torch::autograd::grad({y}, leaves, {with});
    answer = {{"y", y}};
    for (size_t i = 0; i < found.size(); ++i)
      if (found[i].is_complex())
        put(answer, "d" + of[i].first, found[i]);
      else
        answer["d" + of[i].first] = found[i];
  };
  const auto once = [&] {
    if (task == "kernel") {
      gradients(vandermonde_kernel(log_a, c, g.size(2)), {{"log_a", log_a}, {"c", c}}, g[0]);
    } else if (task == "layer") {
      gradients(causal_convolution(u, vandermonde_kernel(log_a, c, u.size(2)), D),
                {{"log_a", log_a}, {"c", c}, {"u", u}, {"D", D}}, g);
    } else if (task == "scan") {
      answer = {{"y", diagonal_scan(a, v)}};
    } else if (task == "mimo") {
      gradients(mimo_scan(signal, leaf_a, Bbar, C, direct),
                {{"a", leaf_a}, {"Bbar", Bbar}, {"C", C}, {"u", signal}, {"D", direct}},
                in.at("signal_g"));
    } else {
      throw ritz::InvalidArgument("task", "kernel, layer, scan or mimo", task);
    }
  };
  const int64_t before = status_kilobytes("VmRSS:");
  { std::ofstream("/proc/self/clear_refs") << "5"; }  // the peak from here on
  once();
  const int64_t peak = status_kilobytes("VmHWM:") - before;
  nlohmann::json seconds = nlohmann::json::array();
  for (int64_t i = 0; i < repeats; ++i) {
    const ritz::Timer timer;
    once();
    seconds.push_back(timer.seconds());
  }
  write(folder + "/ritz_" + task + ".safetensors", answer);
  std::cout << nlohmann::json{{"seconds", seconds}, {"peak_kb", peak}} << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 2 && words[0] == "prepare") {
      prepare(words[1]);
      return 0;
    }
    if (words.size() == 5 && words[0] == "run") {
      run(words[1], words[2], std::stoll(words[3]), std::stoi(words[4]));
      return 0;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sequence_peer_bench: %s\n", error.what());
    return 1;
  }
  std::fputs("usage: sequence_peer_bench prepare FOLDER | run FOLDER TASK REPEATS THREADS\n",
             stderr);
  return 2;
}
