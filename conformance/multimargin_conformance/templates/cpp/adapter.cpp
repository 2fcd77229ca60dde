// The stdio protocol of multimargin (PROTOCOL.md): one JSON request a line in, one JSON answer a line out.
// Nothing here needs changes: loss.cpp is what is checked.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <typeinfo>

#include "json.hpp"
#include "loss.hpp"

#if __has_include(<cxxabi.h>)
#include <cxxabi.h>

#include <cstdlib>
#endif

namespace {

constexpr std::size_t longest_line = 8 << 20, block = 1 << 16, longest_message = 1000, most_axes = 32;
constexpr std::int64_t largest_id = (std::int64_t{1} << 53) - 1;
constexpr const char* features = "[\"digests\"]";

// A request that cannot be understood: the suite's mistake, or this file's.
struct BadRequest : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Members = std::string;  // of an answer, without its id and braces

const json::Value& member(const json::Value& object, const char* name, json::Kind kind) {
    const json::Value* found = object.find(name);
    if (!found || found->kind != kind) throw BadRequest(std::string("no ") + name + ", or one of the wrong kind");
    return *found;
}

Array array_of(const json::Value& data) {
    if (data.kind != json::Kind::object) throw BadRequest("an array that is no object");
    if (data.find("layout") || data.find("block")) throw BadRequest("layout and block are not offered");
    Array array;
    array.dtype = member(data, "dtype", json::Kind::string).text;
    for (const json::Value& size : member(data, "shape", json::Kind::array).items) {
        array.shape.push_back(json::integer(size));
    }
    array.bytes = from_hex(member(data, "hex", json::Kind::string).text);
    const std::size_t item = item_size(array.dtype), count = static_cast<std::size_t>(array.size());
    if (!item || array.rank() > most_axes) throw BadRequest("a dtype or a rank outside the protocol");
    if (array.bytes.size() != count * item) throw BadRequest("bytes that do not fill shape " + to_text(array.shape));
    return array;
}

void append_array(std::string& out, const Array& array) {
    out += "{\"dtype\":" + json::quoted(array.dtype) + ",\"shape\":[";
    for (std::size_t k = 0; k < array.rank(); ++k) out += (k ? "," : "") + std::to_string(array.shape[k]);
    out += "],\"hex\":\"";
    append_hex(out, array.bytes);
    out += "\"}";
}

double margin_of(const json::Value& request) {
    const std::vector<unsigned char> bytes = from_hex(member(request, "margin", json::Kind::string).text);
    double margin = 0;
    if (bytes.size() != sizeof margin) throw BadRequest("a margin that is no float64");
    std::memcpy(&margin, bytes.data(), sizeof margin);
    return margin;
}

Call call_of(const json::Value& request) {
    Call call;
    call.input = array_of(member(request, "input", json::Kind::object));
    call.target = array_of(member(request, "target", json::Kind::object));
    const json::Value* weight = request.find("weight");
    if (!weight) throw BadRequest("no weight");
    if (weight->kind != json::Kind::null) call.weight = array_of(*weight);
    call.p = json::number(member(request, "p", json::Kind::number));
    call.margin = margin_of(request);
    call.reduction = member(request, "reduction", json::Kind::string).text;
    return call;
}

std::string type_name(const std::exception& error) {
    const char* name = typeid(error).name();
#if __has_include(<cxxabi.h>)
    int status = 0;
    char* plain = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    const std::string found = plain ? plain : name;
    std::free(plain);
    return found.substr(0, 200);
#else
    return name;
#endif
}

Members reason(const char* status, std::string_view text) {
    return std::string("\"status\":\"") + status + "\",\"reason\":" + json::quoted(text.substr(0, longest_message));
}

Members crashed(std::string_view text) { return reason("failed", text) + ",\"kind\":\"crashed\""; }

Members rejected(const std::exception& error) {
    return "\"status\":\"rejected\",\"type\":" + json::quoted(type_name(error)) +
           ",\"message\":" + json::quoted(std::string_view(error.what()).substr(0, longest_message));
}

// Call the implementation; whatever it throws is an answer.
Members outcome(const Call& call, const Array* grad_output) {
    try {
        const Array result = grad_output ? backward(*grad_output, call) : forward(call);
        if (result.bytes.size() != static_cast<std::size_t>(result.size()) * item_size(result.dtype)) {
            return reason("failed", "a result whose bytes do not fill its shape") + ",\"kind\":\"malformed\"";
        }
        Members members = "\"status\":\"returned\",\"result\":";
        append_array(members, result);
        return members;
    } catch (const std::bad_alloc&) {
        return crashed("out of memory");
    } catch (const std::exception& error) {
        return rejected(error);
    } catch (...) {
        return crashed("something was thrown that is no std::exception");
    }
}

void append_digest(std::string& out, const char* name, const Array& array) {
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(crc32(array.bytes)));
    out += std::string(out.empty() ? "\"" : ",\"") + name + "\":\"" + digits + '"';
}

Members run(const json::Value& request) {
    const std::string& op = member(request, "op", json::Kind::string).text;
    if (op != "forward" && op != "backward") throw BadRequest("an op that is neither forward nor backward");
    std::optional<Array> grad_output;
    if (op == "backward") grad_output = array_of(member(request, "grad_output", json::Kind::object));
    const Call call = call_of(request);
    Members members = outcome(call, grad_output ? &*grad_output : nullptr);
    const json::Value* digests = request.find("digests");
    if (!digests || !digests->boolean) return members;
    std::string found;
    if (grad_output) append_digest(found, "grad_output", *grad_output);
    append_digest(found, "input", call.input);
    append_digest(found, "target", call.target);
    if (call.weight) append_digest(found, "weight", *call.weight);
    return members + ",\"digests\":{" + found + '}';
}

std::string list(const std::vector<std::string>& words, bool quote = true) {
    std::string text = "[";
    for (const std::string& word : words) text += (text.size() > 1 ? "," : "") + (quote ? json::quoted(word) : word);
    return text + ']';
}

Members started() {
    const Offer made = offer();
    return "\"status\":\"started\",\"protocol\":1,\"name\":" + json::quoted(made.name) + ",\"version\":" +
           json::quoted(made.version) + ",\"capabilities\":{\"dtypes\":" + list(made.dtypes) + ",\"p\":" +
           list(made.p, false) + ",\"reductions\":" + list(made.reductions) + ",\"shapes\":" + list(made.shapes) +
           ",\"gradient\":" + (made.gradient ? "true" : "false") + ",\"permissions\":" + list(made.permissions) +
           "},\"features\":" + features;
}

Members start(const json::Value& request) {
    bool known = false;
    for (const json::Value& version : member(request, "protocol", json::Kind::array).items) {
        known = known || version.text == "1";
    }
    if (!known) return reason("refused", "this adapter speaks version 1 of the protocol only");
    const std::uint16_t probe = 1;
    if (*reinterpret_cast<const unsigned char*>(&probe) != 1) return reason("refused", "a big-endian machine");
    const std::string& device = member(request, "device", json::Kind::string).text;
    if (!device.empty() && device != "cpu") return reason("refused", "device " + device + ", but should be cpu");
    return started();
}

Members echo(const json::Value& request) {
    Members members = "\"status\":\"echoed\",\"arrays\":[";
    bool first = true;
    for (const json::Value& data : member(request, "arrays", json::Kind::array).items) {
        if (!first) members += ',';
        first = false;
        append_array(members, array_of(data));
    }
    return members + ']';
}

Members answer(const json::Value& request, const std::string& cmd) {
    if (cmd == "run") return run(request);
    if (cmd == "start") return start(request);
    if (cmd == "echo") return echo(request);
    if (cmd == "stop") return "\"status\":\"stopped\"";
    throw BadRequest("a command that is not offered: " + cmd.substr(0, 60));
}

std::int64_t id_of(const json::Value& request) {
    const std::int64_t id = integer(member(request, "id", json::Kind::number));
    if (id < 0 || id > largest_id) throw BadRequest("an id out of range");
    return id;
}

// Append the answer to one line. Return whether it was `stop`.
bool serve(std::string_view line, std::string& out) {
    std::int64_t id = 0;  // where the request's own cannot be read
    Members members;
    std::string cmd;
    try {
        const json::Value request = json::parse(line);
        id = id_of(request);
        cmd = member(request, "cmd", json::Kind::string).text;
        members = answer(request, cmd);
    } catch (const std::exception& error) {
        members = reason("error", error.what());
    }
    out += "{\"id\":" + std::to_string(id) + ',' + members + "}\n";
    return cmd == "stop";
}

// stdin in large blocks, answers collected until there is no complete request left to read.
class Pipe {
public:
    explicit Pipe(int answers) : answers_(answers) {}

    void serve_all() {
        while (read_block()) {
            std::size_t start = 0, end = 0;
            while ((end = input_.find('\n', start)) != std::string::npos) {
                const bool stop = serve_line(std::string_view(input_).substr(start, end - start));
                start = end + 1;
                if (output_.size() > longest_line && !flush()) return;
                if (stop) return void(flush());
            }
            input_.erase(0, start);
            if (!flush()) return;
        }
    }

private:
    int answers_;
    std::string input_, output_;
    bool skipping_ = false;  // the rest of a line that is too long

    bool serve_line(std::string_view line) {
        const bool rest = skipping_;
        skipping_ = false;
        return !rest && serve(line, output_);
    }

    bool read_block() {
        if (input_.size() > longest_line) {
            if (!skipping_) output_ += "{\"id\":0," + reason("error", "a line of more than 8 MiB") + "}\n";
            skipping_ = true;
            input_.clear();
        }
        const std::size_t before = input_.size();
        input_.resize(before + block);
        ssize_t count = 0;
        do {
            count = ::read(STDIN_FILENO, &input_[before], block);
        } while (count < 0 && errno == EINTR);
        input_.resize(before + (count > 0 ? static_cast<std::size_t>(count) : 0));
        return count > 0;
    }

    bool flush() {
        for (std::size_t done = 0; done < output_.size();) {
            const ssize_t count = ::write(answers_, output_.data() + done, output_.size() - done);
            if (count < 0 && errno != EINTR) return false;
            done += count > 0 ? static_cast<std::size_t>(count) : 0;
        }
        output_.clear();
        return true;
    }
};

}  // namespace

int main() {
    const int answers = ::dup(STDOUT_FILENO);
    if (answers < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return 1;  // an implementation may print
    Pipe(answers).serve_all();
    return 0;
}
