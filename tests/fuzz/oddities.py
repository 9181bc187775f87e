"""Specs as nobody should write them: the parts they are put together from, as source text.

Every list holds what is right too, so that a case gets far enough to meet the next part.
"""

import re
from random import Random

HEAD = r"""
from typing import *
import dataclasses, datetime, decimal, enum, math
from pydantic import BaseModel, Field
from batchspec.spec.parts import *
from batchspec.spec.output import *

NAN, INF, LONE = float("nan"), float("inf"), "\ud83d"
LOOP = []
LOOP.append(LOOP)

class M(BaseModel):
    x: float = NAN
    y: "int | None" = None

class R(BaseModel):
    id: str

class FWD(BaseModel):
    id: "Nowhere"

class Bad:
    def __repr__(self): raise RuntimeError("no repr")
    def __str__(self): raise RuntimeError("no str")
    def __eq__(self, other): raise RuntimeError("no eq")
    __hash__ = None

def CALLING(call): return [{'role': 'assistant', 'content': 'x', 'tool_calls': [call]}]
def RECUR(r): return RECUR(r)

def TF(a: int = 1) -> int:
    "d"
    return 1

def TD(a: float = NAN) -> float:
    return NAN

def TS(a: str = LONE) -> str:
    "\ud83d"
    return a

def TX(a=object()): return object()
def TV(*a, **k): return {NAN: 1}
def TN(a: "Nope"): return 1
def TE(a: int = 1): raise SystemExit(3)
def TL(a: int = 1): return LOOP
def TB(a: int = 1): return Bad()
def TR(a: int = 1): raise ModelRetry(LONE)
async def TA(a: int = 1): return 10**400
"""

_MESSAGES = (
    "[]",
    "[None]",
    "[[]]",
    "{}",
    "b'x'",
    "5",
    "[{'role': 'user'}]",
    "[{'role': 'user', 'content': []}]",
    "[{'role': 'user', 'content': [{'type': 5}]}]",
    "[{'type': 'text'}]",
    "[{'type': 'text', 'text': 5}]",
    "[{'type': 'text', 'text': NAN}]",
    "[{'type': 'text', 'text': ''}]",
    "[{'type': 'image_url', 'image_url': 5}]",
    "[{'type': 'image_url'}]",
    "[{'type': 'image_url', 'image_url': {'url': 5}}]",
    "[{'type': 'image_url', 'image_url': {'url': 'data:;base64,\u00e9'}}]",
    "[{'type': ['x']}]",
    "[{'type': None}]",
    "[{'role': ['user'], 'content': 'x'}]",
    "[{'role': None, 'content': 'x'}]",
    "[{5: 'x'}]",
    "[{'role': 'user', 'content': 'x', 5: 6}]",
    "[{'role': 'user', 'content': 'x', 'name': 'n'}]",
    "[{'role': 'user', 'content': 'x', 'refusal': object()}]",
    "[{'role': 'user', 'content': 'x', 'tool_call_id': object()}]",
    "[{'role': 'assistant', 'content': 'x', 'refusal': 5}]",
    "[{'role': 'assistant', 'content': None, 'tool_calls': 5}]",
    "[{'role': 'assistant', 'content': None, 'tool_calls': [5]}]",
    "[{'role': 'assistant', 'content': None, 'tool_calls': [{'id': 1}]}]",
    "[{'role': 'assistant', 'content': 'x', 'tool_calls': [{'id': 'a', 'function': 5}]}]",
    "CALLING({'id': 'a', 'function': {'name': 'f'}})",
    "CALLING({'id': 'a', 'function': {'name': 'f', 'arguments': {}}})",
    "CALLING({'id': 'a', 'function': {'name': 'f', 'arguments': '{}'}})",
    "CALLING({'id': 'a', 'v': LOOP, 'function': {'name': 'f', 'arguments': '{}'}})",
    "CALLING({'id': 'a', 'type': [], 'function': {'name': LONE, 'arguments': LONE}})",
    "[{'role': 'assistant', 'content': [{'type': 'text', 'text': 'x'}], 'tool_calls': None}]",
    "[{'role': 'tool', 'content': 'x'}]",
    "[{'role': 'tool', 'content': 'x', 'tool_call_id': 5}]",
    "[{'role': 'tool', 'content': [], 'tool_call_id': 'a'}]",
    "[{'role': 'system', 'content': 'x'}, {'role': 'user', 'content': 'y'}]",
    "[{'type': 'x', 'v': object()}]",
    "[{'type': 'x', 'v': LOOP}]",
    "[{'type': 'x', 'v': Bad()}]",
    "[{'type': 'x', 'v': {1: 2, '1': 3}}]",
    "[{'type': 'x', 'v': {'a': 1, 2: 3}}]",
    "[{'type': 'x', 'v': {1, 2}}]",
    "[{'type': 'x', 'v': 10**5000}]",
    "[{'type': 'x', LONE: LONE}]",
    "LONE",
    r"'\x00'",
    "''",
    "Bad()",
    "[Bad()]",
    "Image(data=b'')",
    "[Image('nope.png')]",
    r"[Image('\x00')]",
    "[Image('https://')]",
    "[Image('https://x/y.png', detail=[])]",
    "[Image('https://x/y.png', detail='high'), 'what is it?']",
    "[Image(url='data:image/png;base64,')]",
    "[Document(data=b'%PDF-', name=5)]",
    "[Document(data=b'%PDF-', name=LONE)]",
    "[Document(data=b'%PDF-')]",
    "1 / 0",
    "exit(3)",
    "RECUR(r)",
    "(_ for _ in 'ab')",
    "iter([])",
    "r.pop('id')",
    "r.clear() or 'x'",
    "r.update(a=object()) or 'x'",
    "[{'role': 'user', 'content': ('a', 'b')}]",
    "[{'role': 'user', 'content': b'x'}]",
    "[{'role': 'user', 'content': {'type': 'text', 'text': 'x'}}]",
    "M()",
    "int",
    "r",
)
_TEMPLATES = (
    "'{id}'",
    "''",
    "' '",
    "'{{'",
    "'{id'",
    "'{}'",
    "'{0}'",
    "'{id.x}'",
    "'{id[0]}'",
    "'{id!r:>10}'",
    "'{id!z}'",
    "'{id:%Y}'",
    "'{id:{id}}'",
    "'{id:>10000000000}'",
    "LONE",
    r"'\x00{id}'",
    "len",
    "print",
    "lambda: 1",
    "5",
    "None",
    "[]",
)
PROMPTS = (*_TEMPLATES, *(f"lambda r: {text}" for text in _MESSAGES))

OUTPUTS = tuple(
    """
None|str|int|bool|float|M|list[M]|object|Any|NAN|5|'x'|lambda t: 1|[int, str]|[]|[None]|dict
dict[str, int]|dict[int, M]|Literal[1]|Literal[LONE]|type(None)|Callable|NativeOutput(M)
NativeOutput(5)|NativeOutput([])|ToolOutput(int, name=LONE)|ToolOutput(int, name='')|ToolOutput(5)
ToolOutput(int, name=5)|ToolOutput(int, description=LONE)|ToolOutput(int, description=5)
ToolOutput(int, name='TF')|PromptedOutput(M)|PromptedOutput([])|PromptedOutput(M, template=5)
PromptedOutput(M, template='')|TextOutput(5)|TextOutput(int)|TextOutput(lambda t: NAN)
TextOutput(lambda t: exit(2))|enum.Enum('E', {})|enum.Enum('E', {'A': NAN})
enum.Enum('E', {'A': object()})|enum.Enum('E', {'A': LONE})|NewType('N', int)|TypeVar('T')
Annotated[int, Field(ge=NAN)]|Annotated[int, Field(description=LONE)]
Annotated[str, Field(pattern='(')]|Annotated[str, Field(pattern=LONE)]
Annotated[int, Field(default=NAN)]|Annotated[int, Field(json_schema_extra={'a': object()})]
Annotated[int, Field(json_schema_extra={'a': NAN})]|Annotated[int, Field(examples=[object()])]
bytes|complex|range|tuple[()]|tuple[int, str]|set|type|Iterator[int]|decimal.Decimal
datetime.timedelta|print|len|dict.get|M().model_dump|Ellipsis|Bad|Bad()|M()|Optional[M]
Optional[int]|Required[int]|ClassVar[int]|Self|Never|LiteralString
""".strip()
    .replace("\n", "|")
    .split("|")
)

TOOLS = tuple(
    r"""
TF|TD|TS|TX|TV|TN|TE|TL|TB|TR|TA|lambda x: x|print|len|5|None|'x'|M|[TF]|Bad()|tool(lambda: 1)
tool(5)|tool(name='')(print)|tool(name=LONE)(TF)|tool(name=5)(TF)|tool(name='a' * 65)(TF)
tool(description=LONE)(TF)|tool(description=5)(TF)|tool(description='')(TF)|tool(timeout=NAN)(TF)
tool(timeout=INF)(TF)|tool(timeout=-1)(TF)|tool(timeout=0)(TF)|tool(timeout=True)(TF)
tool(timeout='x')(TF)|tool(timeout=10**400)(TF)|tool(timeout=1e300)(TF)|tool(timeout=1e-300)(TF)
tool(timeout=30_000_000)(TF)|tool(retries=-1)(TF)|tool(retries=True)(TF)|tool(retries=NAN)(TF)
tool(retries=INF)(TF)|tool(retries='x')(TF)|tool(retries=10**30)(TF)|tool(limit=0)(TF)
tool(limit=True)(TF)|tool(limit=NAN)(TF)|tool(limit=10**30)(TF)|tool(limit=1)(TF)
tool(concurrency=0)(TF)|tool(concurrency=INF)(TF)|tool(concurrency=10**30)(TF)
tool(concurrency=1)(TF)|tool(executor='x')(TF)|tool(executor=[])(TF)|tool(executor='process')(TF)
tool(executor='process')(lambda a: 1)|tool(pure=True, once=True)(TF)|tool(pure=True)(TL)
tool(once=True)(TE)|tool(once=5)(TF)|tool(pure='x')(TF)|tool(strict='x')(TF)|tool(strict=None)(TX)
tool(strict=False)(TV)|tool(tool(TF))|tool()(TF)|tool(nope=1)(TF)
""".strip()
    .replace("\n", "|")
    .split("|")
)

ROWS = tuple(
    r"""
rows.inline([{'id': 'a'}])|rows.inline([{'id': 'a'}, {'id': 'b'}])|rows.inline([{'id': LONE}])
rows.inline([{'id': NAN}])|rows.inline([{'id': None}])|rows.inline([{'id': 1.5}])
rows.inline([{'id': True}])|rows.inline([{'id': [1]}])|rows.inline([{'id': 10**400}])
rows.inline([{'id': 10**5000}])|rows.inline([{'id': 'a', 'v': object()}])
rows.inline([{'id': 'a', 'v': NAN}])|rows.inline([{'id': 'a', 5: 1}])|rows.inline([{5: 1}])
rows.inline([{'id': 'a', 'v': LONE}])|rows.inline([{'id': 'a', LONE: 1}])
rows.inline([{'id': 'a', 'v': LOOP}])|rows.inline([{'id': 'a', 'v': Bad()}])|rows.inline([])
rows.inline([5])|rows.inline(5)|rows.inline([{}])|rows.inline([{'id': '\x00'}])
rows.inline([{'id': 'a\nb'}])|rows.inline([{'id': ''}])|rows.inline([{'id': 'a' * 100000}])
rows.inline([{'id': 'a'}, {'id': 'a'}])|rows.inline([{'id': 1}, {'id': '1'}])
rows.inline([{'id': 'a'}], key='nope')|rows.inline([{'id': 'a'}], key=5)
rows.inline([{'id': 'a'}], key=LONE)|rows.inline({'id': 'a'})|rows.inline(iter([{'id': 'a'}]))
rows.inline([{'id': 'a', 'v': b'\xff'}])|rows.inline([{'id': 'a', 'v': datetime.date.max}])
rows.iterable(lambda: [{'id': 'a'}])|rows.iterable(lambda: 5)|rows.iterable(lambda: None)
rows.iterable(lambda: [5])|rows.iterable(lambda: 1 / 0)|rows.iterable(lambda: exit(3))
rows.iterable(lambda: [M()])|rows.iterable(lambda: [R(id='a')])|rows.iterable(5)
rows.iterable(lambda: ({'id': n, 'v': 1 / (1 - n)} for n in range(3)))|rows.iterable(lambda x: x)
rows.iterable(lambda: [{'id': Bad()}])|rows.iterable(lambda: [Bad()])
rows.iterable(lambda: [{'id': LOOP}])|rows.iterable(lambda: RECUR(1))|rows.csv('nope.csv')
rows.csv('odd.bin')|rows.csv('a.csv')|rows.csv('specs')|rows.csv('\x00')|rows.csv('')|rows.csv(5)
rows.csv('a.csv', delimiter='')|rows.csv('a.csv', delimiter='\n')|rows.csv('a.csv', delimiter='"')
rows.csv('a.csv', delimiter=5)|rows.csv('a.csv', encoding='nope')|rows.csv('a.csv', encoding=5)
rows.csv('a.csv', encoding='utf-16')|rows.csv('a.csv', key='nope')
rows.csv('a.csv', delimiter=LONE)|rows.csv('a.csv', delimiter='\x00')|rows.csv(LONE)
rows.jsonl('nope.jsonl')|rows.jsonl('odd.bin')|rows.jsonl('a.csv')|rows.jsonl('a.jsonl')
rows.jsonl('specs')|rows.parquet('odd.bin')|rows.parquet('nope')|rows.parquet('specs')
rows.files('*.csv')|rows.files('*.bin')|rows.files('**')|rows.files('[')|rows.files('\x00')
rows.files('/')|rows.files('*.bin', text=False)|rows.files('*.csv', key='text')
rows.files('**/**')|rows.files('*.csv', text=5)|rows.files(LONE)|rows.files('..')
rows.sql('nope', 'select 1')|rows.sql('sqlite://', 'select 1 as id')|rows.sql('sqlite://', 'x')
rows.sql('sqlite://', '')|rows.sql(5, 'x')|rows.sql('sqlite://', 'select 1.5 as id, null as x')
rows.sql('sqlite://', "select x'00ff' as id")|rows.sql('sqlite://', 'select 1 as id, 2 as id')
rows.sql('sqlite://', 'select :a as id', params={'a': object()})|rows.sql('sqlite:///nope/x', 'x')
rows.sql('sqlite://', 'select :a as id')|rows.sql('sqlite://', 'select 1 as id', params={5: 1})
rows.sql('sqlite://', 'create table x (id)')|rows.sql(LONE, LONE)|rows.sql('sqlite://', LONE)
rows.outputs_of('m.j')|rows.outputs_of('nope')|rows.outputs_of('')|rows.outputs_of(5)
rows.collect(up)|rows.outputs_of(up)|rows.outputs_of(up, where=5)
rows.outputs_of(up, where=lambda i: 1 / 0)|rows.outputs_of(up, where=lambda i: exit(2))
rows.outputs_of(up, where=lambda i: Bad())|rows.outputs_of(up, eager=True)
rows.outputs_of(up, where=lambda: 1)|rows.collect('m.up')|rows.collect(up, where=lambda i: False)
rows.outputs_of('m.up@x')|rows.outputs_of(LONE)|5|None|[]|rows.inline|up|'a.csv'
""".strip()
    .replace("\n", "|")
    .split("|")
)

MORE = tuple(
    r"""
metadata={'a': LONE}|metadata={LONE: 'a'}|metadata={5: 'a'}|metadata={'a': 5}|metadata=5
metadata={'': ''}|metadata=LOOP|settings={'temperature': NAN}|settings={'temperature': True}
settings={'extra_body': {'a': NAN}}|settings={'extra_body': {'a': LONE}}
settings={'extra_body': {'a': object()}}|settings={'extra_body': {'a': Bad()}}
settings={'extra_body': {5: 6}}|settings={'extra_body': {'a': {5: 6}}}
settings={'extra_body': {'a': {5: 6, 'b': 7}}}|settings={'extra_body': {'a': LOOP}}
settings={'extra_body': {'a': 10**5000}}|settings={'extra_body': {LONE: 1}}
settings={'extra_body': LOOP}|settings={'extra_body': {'max_tokens': 'x'}}
settings={'extra_body': {'metadata': {'a': 'b'}}}|settings={'extra_body': {'tool_choice': 5}}
settings={'tool_choice': {'a': NAN}}|settings={'tool_choice': {}}
settings={'tool_choice': 'required'}|settings={'tool_choice': 'none'}
settings={'logit_bias': {'a': NAN}}|settings={'logit_bias': {5: 1}}|settings={'stop': [LONE]}
settings={'stop': ''}|settings={'stop': []}|settings={'user': LONE}
settings={'max_tokens': 10**30}|settings={'max_tokens': -1}|settings={'max_tokens': True}
settings={'max_tokens': 10**400}|settings={'max_completion_tokens': 10**30}
settings={'seed': 10**30}|settings={'max_tokens': 5, 'max_completion_tokens': 5}
settings={'service_tier': LONE}|settings={'top_logprobs': 5}|settings={'logprobs': True}
settings={5: 5}|settings=LOOP|settings={None: 5}|settings={'reasoning_effort': []}|settings=Bad()
max_turns=10**30|max_turns=0|max_turns=1|max_turns=NAN|max_turns=True|max_turns='2'
output_retries=10**30|output_retries=0|output_retries=INF|output_retries=True|samples=10**9
samples=2|samples=True|samples=NAN|samples='x'|max_cost=NAN|max_cost='x'|max_cost=-1|max_cost=INF
max_cost=10**400|max_cost=0|max_cost=1e300|max_cost=True|max_cost=decimal.Decimal(1)
max_cost=1e-300|max_cost=5|completion_window=5|completion_window=[]|deps=5|deps=lambda x: 1
deps=lambda: 1 / 0|deps=lambda: 5|variants={}|variants={'': {}}|variants={LONE: {}}
variants={'a': {'prompt': 5}}|variants={'a': 5}|variants={5: {}}|variants={'a': {}}
variants={'a': {}, 'b': {'instructions': ''}}|variants=[]|variants={'a': {}, 'b': {'samples': 2}}
variants={'a@b': {}}|variants={'a,2': {}}|variants={'a"': {}, '2': {}}
variants={'a': {'settings': {'extra_body': {'a': NAN}}}}|variants={'a': {'settings': None}}
variants={'a': {'settings': 5}}|variants={'a': {'tools': None}}|variants={'a': {'output': Bad}}
variants={'a': {5: 5}}|variants={'a': {'enabled': False}, 'b': {}}
variants={'a': {'model': 'nope:x'}}|variants={'a': {'ignore_changes': ['model']}}|variants=LOOP
variants=matrix(prompt=['{id}', 'x'])|variants=matrix()|variants=matrix(prompt=[])
variants=matrix(a=1)|variants=matrix(prompt=[LONE])|variants=matrix(max_turns=[1, NAN])
variants=matrix(samples=[1, 2])|variants=matrix(output=[int, str])
variants=matrix(output={'i': int, 's': str})|variants=matrix(prompt=['x', 'x'])
variants=matrix(max_turns=range(2000))|variants=matrix(model={'': 'openai:x'})
variants=matrix(prompt={5: 'x'})|variants=matrix(output_retries=[10**5000])
variants=matrix(max_turns=[True, 1])|ignore_changes='model'|ignore_changes=[5]|ignore_changes=[[]]
ignore_changes=[Bad()]|ignore_changes=['model', 'model']|row_type=FWD|ignore_changes=['input']
row_type=int|row_type=M|row_type=R|row_type=BaseModel|row_type=M()|row_type=Bad|instructions=LONE
instructions=''|instructions='{nope}'|instructions='{id}'
instructions=lambda r: [Image('https://x/y.png')]|instructions=lambda r: ''
instructions=lambda r: [{'role': 'tool', 'content': 'x', 'tool_call_id': object()}]|instructions=5
instructions=lambda r: [{'type': 'x', 'v': NAN}]|instructions='x' * 2**20|instructions=lambda r: 5
grade=lambda o, r: NAN|grade=lambda a: 'x'|grade=5|grade=lambda r, o: 1|grade=lambda o: 10**400
grade=lambda o: exit(2)|grade=lambda o: None|grade=lambda o: True|grade=up|grade=judge
grade=lambda: 1|grade=lambda o: Bad()|grade=print|grade=float|grade=lambda o: 1 / 0
output_validators=[5]|output_validators=[lambda o: NAN]|output_validators=[lambda o: exit(2)]
output_validators=[lambda *a: 1 / 0]|output_validators=[lambda o: object()]
output_validators=[print]|output_validators=[lambda o: LOOP]|output_validators=[lambda o: LONE]
output_validators=[TR]|output_validators=[TA]|output_validators=[Bad()]
output_validators=[lambda o: Bad()]|output_validators=5
output_validators=[lambda o: (_ for _ in ()).throw(ModelRetry(''))]|output_validators=[int]
tools=5|tools=None|tools=[TF, TF]|protect=5|protect=True|enabled=5|enabled=False|enabled=[]
model='openai:'|model=':x'|model='nope:x'|model=LONE|model=5|model='openai:\x00'|model='openai: '
model='openai:' + LONE|model='openai:text-embedding-3-small'|model='openai:x:y:z'
model='openai:' + 'x' * 9999|model='openai:o3'|model='openai:gpt-4o-mini'|nope=5|promt='x'
""".strip()
    .replace("\n", "|")
    .split("|")
)

INPUTS = ("'{id}'", "lambda r: [1, 2]", "lambda r: [True]", "lambda r: [-1]", "lambda r: []",
    "lambda r: 5", "lambda r: LONE", "lambda r: [10**30]", "lambda r: [NAN]", "''", "5", "None",
    "lambda r: [['a']]", "lambda r: 1 / 0", "lambda r: LOOP", "' '")  # fmt: skip
DIMENSIONS = ("None", "0", "1", "True", "NAN", "10**30", "3", "512", "'x'", "10**5000")
VECTORS = ("{}", "{'user': 5}", "{'encoding_format': 'float'}", "{'encoding_format': []}",
    "{'extra_body': {'a': NAN}}", "{'extra_body': {'a': object()}}", "{'extra_body': 5}",
    "{'user': LONE}", "{5: 5}", "{'extra_body': {5: 6, 'a': 7}}", "5", "LOOP")  # fmt: skip

AGENTS = ("Agent('test')", "Agent(None)", "Agent('openai:gpt-5-mini')", "5", "None",
    "Agent('openai:gpt-5-mini', instructions='')", "Agent('openai:gpt-5-mini', output_type=int)",
    "Agent('openai:gpt-5-mini', tools=[TF])", "Agent('openai:gpt-5-mini', instructions=LONE)",
    "Agent('openai:gpt-5-mini', model_settings={'temperature': NAN})",
    "Agent('openai:gpt-5-mini', model_settings={'extra_body': {'a': object()}})",
    "Agent('openai:gpt-5-mini', output_type=M, retries=10**30)",
    "Agent('openai:gpt-5-mini', tools=[TX])", "Agent('openai:gpt-5-mini', system_prompt='{x}')",
    "Agent('openai:gpt-5-mini', instructions=lambda: LONE)",
    "Agent('openai:gpt-5-mini', instructions=lambda ctx: 1 / 0)",
    "Agent('openai:gpt-5-mini', deps_type=M)")  # fmt: skip

SAID = ('{"x": NaN}', '{"x": 1}', "", "null", "5", "\ud83d",
    '```json\n{"x": 1}\n```', '{"response": [1]}', '{"response":' + "[" * 2000, "[1e999]",
    '{"response": 1}', "\x00")  # fmt: skip
ARGUMENTS = ({}, "{", "null", '{"a": NaN}', '{"a": "\\ud83d"}', {"a": 1}, '{"a": 1e999}', "[]", "",
    '{"a":' + "9" * 5000 + "}", "[" * 5000)  # fmt: skip
OTHERS = {
    "up": "up = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'u'}]), prompt='{id}')\n",
    "judge": "judge = Job(model='openai:gpt-5-mini', prompt='{output}', output=int)\n",
}
"""Jobs that some parts name."""


def spec(random: Random) -> str:
    """Return a module with a job `j` that is odd in one to three of its parts."""
    kind = random.random()
    if kind < 0.08:
        job = _embedding(random)
    elif kind < 0.13:
        job = _agent(random)
    else:
        job = _job(random)
    others = [text for name, text in OTHERS.items() if re.search(rf"\b{name}\b", job)]
    return f"{HEAD}{''.join(others)}{job}\n"


def _job(random: Random) -> str:
    model = random.choice(["openai:gpt-5-mini", "openai-responses:gpt-5-mini"])
    parts = {"model": repr(model), "rows": ROWS[0], "prompt": "'{id}'"}
    for name, odd, share in (
        ("rows", ROWS, 0.25),
        ("prompt", PROMPTS, 0.3),
        ("output", OUTPUTS, 0.35),
    ):
        if random.random() < share:
            parts[name] = random.choice(odd)
    if random.random() < 0.35:
        parts["tools"] = f"[{', '.join(random.sample(TOOLS, random.choice([1, 1, 2])))}]"
    for _ in range(random.choice([0, 1, 1, 2])):
        name, _, value = random.choice(MORE).partition("=")
        parts[name] = value
    return _written("Job", parts)


def _embedding(random: Random) -> str:
    parts = {
        "model": "'openai:text-embedding-3-small'",
        "rows": random.choice(ROWS) if random.random() < 0.3 else ROWS[0],
        "input": random.choice(INPUTS),
    }
    if random.random() < 0.4:
        parts["dimensions"] = random.choice(DIMENSIONS)
    if random.random() < 0.4:
        parts["settings"] = random.choice(VECTORS)
    return _written("EmbeddingJob", parts)


def _agent(random: Random) -> str:
    parts = {"rows": "rows.inline([{'prompt': 'x', 'id': 'a'}])"}
    if random.random() < 0.5:
        name, _, value = random.choice(MORE).partition("=")
        parts[name] = value
    made = random.choice(AGENTS)
    return f"from pydantic_ai import Agent\n{_written('Job.from_agent', parts, made)}"


def _written(name: str, parts: dict[str, str], first: str = "") -> str:
    given = [first] * bool(first) + [f"{part}={value}" for part, value in parts.items()]
    return f"j = {name}({', '.join(given)})"


def answers(random: Random) -> object:
    """Return a model that says what no model should."""
    random = Random(random.getrandbits(32))  # drawn now: it answers later, and elsewhere

    def answer(body: dict[str, object]) -> object:
        if "input" in body and "messages" not in body and "tools" not in body:
            return random.choice(SAID)
        tools = body.get("tools")
        names = [tool.get("function", tool).get("name") for tool in tools] if tools else []  # type: ignore[attr-defined]
        if names and random.random() < 0.5:
            call = {
                "name": random.choice([*names, "nope", "\ud83d"]),
                "arguments": random.choice(ARGUMENTS),
            }
            return {"role": "assistant", "tool_calls": [call]}
        return random.choice(SAID)

    return answer
