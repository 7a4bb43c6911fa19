"""Words that rules look for: English that Portuguese has not, words that deny, opposites and their translations."""

# Frequent words of English that are none of Portuguese: function words, colours, things, what people do.
ENGLISH = """
the of and to in is it that was on are with his they at be this have from or had by not but what all were when your
can said there an each which she how their if will up other about out many then them these some her would make like
him into has look two more write see number way could people than first water been call who its now find long down day
did get made may over new sound take only little work know place year live back give most very after thing our just
name good sentence man think say great where help through much before right too means old any same tell boy follow
came want show also around form three small put end does another well large must big even such because turn here why
ask went men read need land different home us move try kind hand picture again change off play spell air away animal
house point page letter mother answer found study still learn should world high every near add food between own below
country plant last school father keep tree never start city earth eye light thought head under story saw left don't
few while along might close something seem next hard open example begin life always those both paper together got
group often run important until children side feet car mile night walk white sea began grow took river four carry
state once book hear stop without second late miss idea enough eat face watch far really almost let above girl
sometimes mountain cut young talk soon song being leave family it's yes red blue green yellow black brown gray grey
pink purple one five six seven eight nine ten dog cat bird horse sheep cow fish woman women child bus train bicycle
motorcycle truck boat plane chair desk bed door window street road building sign shirt hat shoes glasses ball glass
bottle cup fork knife spoon bowl bread cheese apple grass sky snow rain cloud beach kitchen bathroom bedroom sitting
standing walking running riding holding wearing eating drinking playing looking front top bottom middle corner behind
beside wooden metal cannot none describe image photo color colour shape size object objects person crowd empty full
closed broken happy sad tall short wide narrow
"""
FUNCTION_WORDS = """
the of and is it that was are with they this have from or had by not but what were when there which their would been
who its than into has these some about those while where an to in on at be
"""
DENYING = """
not no never none nobody nothing nowhere neither nor without cannot isn't aren't wasn't weren't don't doesn't didn't
can't couldn't won't wouldn't shouldn't hasn't haven't hadn't
"""
DENYING_PORTUGUESE = "não nunca nem sem nenhum nenhuma nenhuns nenhumas nada ninguém jamais tampouco"

# Groups of opposites, a blank line between two; a line has English words, and what they become, `*` after the
# beginning of a word. A text that names one of a group and not another is translated so, too.
OPPOSITES = """
left leftmost = esquerd*
right rightmost = direit*

top above upper topmost = topo cima superior* acima alto
bottom below lower beneath = fundo baixo inferior* abaixo

front = frente diante frontal dianteir*
behind back = atrás trás traseir* costas

inside indoors within = dentro interior*
outside outdoors = fora exterior*

red reddish = vermelh* encarnad* rubr* ruiv* tint*
blue bluish = azul* azui*

green greenish greenery = verde* verdej* verdur* esverdead*
yellow yellowish = amarel*

red = vermelh* encarnad* rubr* ruiv* tint*
green = verde* verdur*

blue = azul* azui*
green = verde* verdur*

red = vermelh* encarnad* rubr* ruiv* tint*
yellow = amarel*

blue = azul* azui*
yellow = amarel* loir*

black = pret* negr* escur*
white = branc* alv* clar*

red = vermelh* encarnad* ruiv* tint*
white = branc*
black = pret* negr*
pink = rosa* cor-de-rosa

orange oranges = laranj* alaranjad*
purple violet = rox* púrpura violeta* lilás
pink = rosa* cor-de-rosa

brown = castanh* marrom acastanhad* moren*
grey gray = cinzent* cinza* gris*
green = verde*
blue = azul* azui*

cat cats kitten kittens = gat*
dog dogs puppy puppies = cão cães cachorr* cadel*
bird birds = ave aves pássar*

horse horses = cavalo* égua*
cow cows cattle = vaca* gado boi bois
sheep lamb lambs = ovelh* cordeir* borreg*

man men gentleman he his him father male = homem homens senhor pai masculin*
woman women lady she her mother female = mulher* senhora* mãe* feminin*

boy boys son he his = rapaz* menino* miúdo* filho*
girl girls daughter she her = rapariga* menina* miúda* filha*

more greater higher = mais maior* superior*
fewer less = menos menor* inferior*

before earlier = antes anterior*
after afterwards later = depois após posterior* seguir

first = primeir*
last final = últim* derradeir* final passad*

open opened opens opening = abert* abr*
closed close closes shut = fechad* fech* encerrad* perto próxim*

big large huge largest biggest larger = grand* enorm* maior*
small tiny little smallest smaller = pequen* minúscul* menor*

increase increases increased increasing rise rises rose grew grow = aument* sub* cresc*
decrease decreases decreased decreasing fell = diminu* desc* decresc* baix* caiu caíram reduz*

minimum lowest = mínim* baix* menor* menos
maximum highest = máxim* alt* maior* mais

true = verdad*
false = fals*

day daytime days = dia dias diurn*
night nighttime nights = noite* noturn*

winter = inverno
summer = verão
spring = primavera
autumn = outono

monday = segunda*
tuesday = terça*
wednesday = quarta*
thursday = quinta*
friday = sexta*
saturday = sábado*
sunday = domingo*

january = janeiro
february = fevereiro
march = março
april = abril
june = junho
july = julho
august = agosto

september = setembro
october = outubro
november = novembro
december = dezembro
april = abril
august = agosto

two twice both pair couple = dois duas ambos ambas par casal
three = três
four = quatro
five = cinco

five = cinco
six = seis
seven = sete
eight = oito
nine = nove
ten = dez
three = três
four = quatro

north northern = norte nortenh* setentrion*
south southern = sul meridion*
east eastern = leste este orient*
west western = oeste ocident*

hot warm = quent* calor*
cold cool = fri* fresc*

young younger youngest = jov* nov*
old older oldest = velh* antig* idos*

full = chei* complet*
empty = vazi*

wet = molhad* húmid*
dry = sec*

up upwards = cima sub*
down downwards = baixo desc*
"""

# Words that the judge of varieties holds for little, since Portugal has them for something else; the source says what
# is meant.
IN_BRAZIL = """
file files = arquivo arquivos
screen screens display = tela telas
phone phones cellphone cellphones smartphone mobile = celular celulares
mouse = mouse
password passwords = senha senhas
juice = suco sucos
team teams = time times
boy boys = garoto garotos
girl girls = garota garotas moça moças
bad = ruim ruins
nickname surname surnames = sobrenome sobrenomes
jersey jerseys sweater sweaters jumper = suéter suéteres
goal goals = gol gols
waterfall waterfalls = cachoeira cachoeiras
earthquake earthquakes = terremoto terremotos
research researcher researchers = pesquisador pesquisadores
policeman policemen = policial policiais
"""

# With a capital and with a Portuguese word of its own: countries, cities, the sky, feasts, titles, parts of texts.
TRANSLATED_NAMES = """
africa america asia europe oceania antarctica arctic atlantic pacific mediterranean caribbean algeria angola argentina
armenia australia austria azerbaijan bahrain bangladesh belarus belgium bolivia bosnia brazil britain bulgaria cambodia
cameroon canada chile china colombia congo croatia cuba cyprus czech czechia denmark egypt england estonia ethiopia
finland france georgia germany ghana greece guinea haiti holland hungary iceland india indonesia iran iraq ireland
israel italy ivory jamaica japan jordan kazakhstan kenya korea kuwait laos latvia lebanon libya lithuania luxembourg
macedonia madagascar malaysia mali malta mexico mongolia montenegro morocco mozambique netherlands zealand nicaragua
niger nigeria norway oman pakistan palestine panama paraguay peru philippines poland portugal qatar romania russia
rwanda salvador samoa saudi arabia scotland senegal serbia singapore slovakia slovenia somalia spain sudan sweden
switzerland syria taiwan tanzania thailand tunisia turkey uganda ukraine emirates kingdom states united uruguay
uzbekistan venezuela vietnam wales yemen zambia zimbabwe london york lisbon rome milan florence venice naples turin
genoa seville vienna munich cologne hamburg berlin frankfurt geneva zurich brussels antwerp ghent bruges hague
copenhagen stockholm helsinki warsaw cracow prague moscow petersburg athens bucharest belgrade jerusalem cairo mecca
tokyo beijing shanghai seoul delhi bombay philadelphia orleans edinburgh paris nice marseille bordeaux thames rhine
danube nile seine loire alps pyrenees himalayas andes carolina dakota virginia california pennsylvania louisiana
hawaii florida catalonia andalusia bavaria saxony tuscany sicily sardinia corsica crete normandy brittany burgundy
galaxy way inc ltd co corp company
earth moon sun mars venus mercury jupiter saturn uranus neptune pluto milky solar
monday tuesday wednesday thursday friday saturday sunday january february march april june july august september
october november december easter christmas halloween ramadan hanukkah thanksgiving
english french german spanish portuguese italian dutch greek latin chinese japanese russian arabic hebrew swedish
danish finnish polish turkish irish scottish welsh british european american african asian indian christian jewish
muslim islam islamic catholic protestant buddhist hindu roman celtic gothic victorian christ god bible jesus virgin
mister mrs miss doctor professor president king queen prince princess pope saint emperor duke count lord lady sir
captain general colonel major sergeant minister senator mayor judge bishop cardinal
university college institute department ministry museum library hospital airport station bridge tower castle palace
cathedral temple mosque park square avenue river lake ocean sea mount mountain island islands gulf bay cape desert
valley canyon peninsula coast church theatre stadium hall statue wall gate channel strait falls forest
war wars revolution empire republic union league nations parliament congress senate government court army navy treaty
constitution declaration independence renaissance age era century middle ages dynasty north south east west northern
southern eastern western central internet web figure table chart graph diagram section chapter equation theorem lemma
question answer option options choices choice hint note context example step part appendix statement passage text
column row line panel image picture scene map title caption source data total average year month
please consider given based using according select choose determine calculate compute assume suppose let identify
photosynthesis biology chemistry physics mathematics history geography science
"""

# Words on signs, labels and covers, with what they become: a line has English words, and the Portuguese ones, `*`
# after the beginning of a word. Words that both languages have are not here: nothing could be seen of them.
# Those of `OPPOSITES` count beside these.
SIGNS = """
boat boats = barco* bote*
ship ships = navio*
bus buses = autocarro* ônibus
train trains = comboio* trem trens
plane airplane aircraft = avião aviões
car cars = carro* automóve*
bike bicycle = bicicleta*
stop = par* pare stop paragem alto
exit = saída*
entrance entry = entrada*
push = empurr*
pull = pux*
danger = perigo*
warning caution = aviso* cuidado atenção advertência
closed = fechad* encerrad*
sale sales = sald* vend* promoç*
street = rua*
road = estrada*
avenue = avenida
station = estação estações
airport = aeroporto*
bank = banco*
school = escola*
church = igreja*
library = biblioteca*
museum = museu*
kitchen = cozinha*
restaurant restaurants = restaurante*
bakery = padaria* pastelaria*
pharmacy drugstore = farmácia*
market = mercado*
shop store = loja*
water = água*
milk = leite*
bread = pão pães
cheese = queijo*
coffee = café*
tea = chá*
wine = vinho*
beer = cerveja*
juice = sumo* suco*
sugar = açúcar*
salt = sal
butter = manteiga*
apple apples = maçã*
orange oranges = laranja*
lemon lemons = limão limões
grape grapes = uva*
fish = peixe*
chicken = frango* galinha*
beef meat = carne* bife*
egg eggs = ovo*
rice = arroz
free = grátis gratuit* livre*
new = nov*
old = velh* antig*
open = abert* abr*
welcome = bem-vind*
please = favor
thank thanks = obrigad*
love = amor amo
life = vida*
world = mundo*
house home = casa* lar
door = porta*
window = janela*
bridge = ponte*
river = rio*
sea = mar mares
beach = praia*
mountain = montanha* monte*
sun = sol
moon = lua*
star stars = estrela*
sky = céu*
fire = fogo* incêndio*
ice = gelo*
snow = neve*
tree trees = árvore*
flower flowers = flor flores
dog dogs = cão cães cachorr*
cat cats = gato* gata*
horse horses = cavalo*
bird birds = pássaro* ave aves
king = rei reis
queen = rainha*
man = homem
men = homens
woman = mulher
women = mulheres senhoras
child children = criança*
book books = livro*
story stories = história*
news = notícia*
letter = carta* letra*
name = nome*
year years = ano anos
month = mês meses
week = semana*
day days = dia dias
today = hoje
may = maio
one = um uma
two = dois duas
red = vermelh* encarnad*
blue = azul azuis
brown = castanh* marrom
pink = rosa cor-de-rosa
gray grey = cinzent* cinza*
gold golden = ouro dourad*
silver = prata prateado
left = esquerd*
right = direit*
north = norte
south = sul
east = leste este
west = oeste
yes = sim
last = últim*
high = alt*
low = baix*
hot = quente*
cold = fri*
big large = grande*
small little = pequen*
police = polícia*
army = exército*
war = guerra*
peace = paz
money = dinheiro
price = preço*
health = saúde
university = universidade*
government = governo*
"""
BETWEEN = "a an the of in at on and to"  # words of a label that its translation may have or not
BETWEEN_PORTUGUESE = "a o as os um uma uns umas de do da dos das em no na nos nas e ao à"
